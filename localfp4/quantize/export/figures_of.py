"""What is told of the sites of a layer that was rounded."""

from collections.abc import Iterator

from localfp4.quantize.export.figures import SiteFigure
from localfp4.quantize.recipe import WeightFormat
from localfp4.quantize.results import LayerResult
from localfp4.quantize.rounding.codes import Codes, Fp8Codes, Mxfp4Codes


def format_of_codes(codes: Codes) -> WeightFormat:
    """Return the format that codes are of."""
    match codes:
        case Mxfp4Codes():
            return "mxfp4"
        case Fp8Codes():
            return "fp8"
    return "nvfp4"


def site_figures(result: LayerResult) -> Iterator[SiteFigure]:
    """Yield what is told of the sites of a layer."""
    for one in result.sites:
        yield SiteFigure(one.site, format_of_codes(one.codes), one.error, one.note)
