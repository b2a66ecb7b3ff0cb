"""Which parts of the chat have keys, and which of them listen at the same time."""

from localfp4_tui.keys import Chain
from localfp4_tui.screens.bench import BenchScreen
from localfp4_tui.screens.chat import ChatScreen
from localfp4_tui.screens.compare import CompareScreen
from localfp4_tui.screens.context import ContextScreen
from localfp4_tui.screens.diff import DiffScreen
from localfp4_tui.screens.fit import FitScreen
from localfp4_tui.screens.help import HelpScreen
from localfp4_tui.screens.picker import PickerScreen
from localfp4_tui.screens.sessions import SessionsScreen
from localfp4_tui.screens.settings import SettingsScreen
from localfp4_tui.screens.sheet import SheetScreen
from localfp4_tui.screens.telemetry import TelemetryScreen
from localfp4_tui.widgets.choice_row import ChoiceRow
from localfp4_tui.widgets.prompt_area import PromptArea
from localfp4_tui.widgets.token_heat import TokenHeat
from localfp4_tui.widgets.trouble_panel import TroublePanel
from localfp4_tui.widgets.turn_widget import TurnWidget

CHAINS: tuple[Chain, ...] = (
    (ChatScreen, PromptArea),
    (ChatScreen, TurnWidget),
    (ChatScreen, TurnWidget, TokenHeat),
    (ChatScreen, TroublePanel),
    (FitScreen,),
    (HelpScreen,),
    (PickerScreen,),
    (SessionsScreen,),
    (CompareScreen,),
    (DiffScreen,),
    (ContextScreen,),
    (SettingsScreen, ChoiceRow),
    (SheetScreen,),
    (TelemetryScreen,),
    (BenchScreen,),
)
"""Each from the screen to what has the focus; the application is before all of them."""
