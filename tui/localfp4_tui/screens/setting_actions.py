"""What the user sets: how tokens are chosen, thinking, the system prompt, the colours."""

from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from localfp4.config import SamplingParams
from localfp4.errors import RequestError
from localfp4.messages import Thinks
from localfp4.text.sanitize import sanitize
from localfp4_tui import sampling
from localfp4_tui.screens.answering import AnsweringScreen
from localfp4_tui.screens.settings import ChatSettings, SettingsScreen
from localfp4_tui.themes import theme_name
from localfp4_tui.thinking_choice import CHOICES, ThinkingChoice, parse_choice, remarks, word_for


class SettingActions(AnsweringScreen):
    """Actions on settings; all hold from the next message on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "settings", "Settings", id="chat.settings", priority=True),
    ]

    @work(exclusive=True, group="settings")
    async def action_settings(self) -> None:
        """Show all settings, and take what was changed."""
        session = self.session
        models = session.info.sampling if session.info else SamplingParams()
        thinking = word_for(session.thinking, session.reasoning_effort)
        shown = ChatSettings(session.overrides, thinking, session.conversation.system or "")
        chosen = await self.app.push_screen_wait(SettingsScreen(models, shown, self._thinks()))
        session.overrides = dict(chosen.overrides)
        if chosen.thinking != shown.thinking:
            self._set_thinking(CHOICES[chosen.thinking])
        session.conversation.system = chosen.system or None

    def action_set(self, text: str = "") -> None:
        """Show the sampling settings, or change one."""
        if text:
            self.session.overrides = sampling.change(self.session.overrides, text)
        self.notice.show(sampling.describe(self.session.sampling))

    def action_think(self, text: str = "") -> None:
        """Show or set how much the model thinks."""
        if text:
            self._set_thinking(parse_choice(text))
        word = word_for(self.session.thinking, self.session.reasoning_effort)
        info = self.session.info
        unheeded = info.remark_on_thinking(self.session.thinking) if info is not None else ""
        self.notice.show(unheeded or f"Thinking: {word} ({remarks(self._thinks())[word]}).")

    def action_system(self, text: str = "") -> None:
        """Show, set or (with ``-``) remove the system prompt."""
        conversation = self.session.conversation
        if text:
            conversation.system = None if text == "-" else sanitize(text)
        shown = f"System prompt: {conversation.system}" if conversation.system else None
        self.notice.show(shown or "There is no system prompt; /system TEXT sets one.")

    def action_theme(self, name: str = "") -> None:
        """Show other colours, or a list of them."""
        if self.app.no_color:
            raise RequestError("NO_COLOR is set in the environment, so there are no colours.")
        if name:
            self.app.theme = theme_name(name, self.app.available_themes)
        else:
            self.app.search_themes()

    def _thinks(self) -> Thinks:
        return self.session.info.thinks if self.session.info else "asked"

    def _set_thinking(self, choice: ThinkingChoice) -> None:
        self.session.thinking = choice.thinking
        self.session.reasoning_effort = choice.reasoning_effort
