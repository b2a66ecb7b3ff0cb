"""How much memory and disk a quantisation takes, and whether there is as much; torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass

from localfp4.models.cache_bytes import ELEMENT_BYTES
from localfp4.models.header_sizes import expanded_sizes
from localfp4.models.opened import OpenedModel
from localfp4.models.plan import Machine
from localfp4.models.plan.memory_plan import gib
from localfp4.models.plan.workspace import CUDA_CONTEXT
from localfp4.models.spec import DecoderSpec
from localfp4.models.tying import shares_embedding
from localfp4.quantize.export.shards import SINGLE_FILE_BYTES
from localfp4.quantize.planning.activations import activation_bytes, mixing_bytes
from localfp4.quantize.planning.distilling import distilling_bytes
from localfp4.quantize.planning.hessians import HessianPlan, plan_hessians
from localfp4.quantize.planning.sites import QuantisedSites, quantised_sites
from localfp4.quantize.planning.size import ModelSize, size_of
from localfp4.quantize.planning.work import solving_bytes, step_bytes
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.sites import Site
from localfp4.reports import FitRow

_PROCESS = 2**30
"""Main memory allowed for Python, PyTorch and what allocators round up."""

_MAPPED_SHARE = 0.5
"""Part of the free memory that activations may take; larger ones are files."""


@dataclass(frozen=True, slots=True)
class QuantisePlan:
    """What a quantisation takes at its peak, in bytes.

    Attributes:
        dtype: Compute type.
        length: Tokens of a window of calibration text.
        layer_bytes: Of the largest layer in the compute type.
        step_bytes: Of some windows on their way through a layer; 0 where nothing is calibrated.
        solving_bytes: Of rounding: one matrix's copies, and the codes of a layer.
        distilling_bytes: Of the rounded model in training, all of it; 0 where nothing is trained.
        hessians: What is gathered for GPTQ, and in how many passes.
        activation_bytes: Of what lies between two layers, all calibration tokens.
        activations_on_disk: Whether that is in files.
        size: Of the model that is written.
        device_bytes: On the device in all.
        device_room: What may be used there.
        ram_bytes: In main memory; on a CPU, the same as ``device_bytes``.
        disk_bytes: Written beside the new folder before it is finished, and with it.
        shortages: What is missing, a sentence each.
    """

    dtype: str
    length: int
    layer_bytes: int
    step_bytes: int
    solving_bytes: int
    distilling_bytes: int
    hessians: HessianPlan
    activation_bytes: int
    activations_on_disk: bool
    size: ModelSize
    device_bytes: int
    device_room: int
    ram_bytes: int
    disk_bytes: int
    shortages: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether there is as much memory as it takes."""
        return not self.shortages

    def memory_rows(self) -> list[FitRow]:
        """Return what takes memory."""
        rounds = self.hessians.rounds
        passes = (
            f"gathered in {rounds} passes of the text" if rounds > 1 else "of all inputs at once"
        )
        working = max(self.step_bytes, self.solving_bytes)
        work = f"windows of {self.length} tokens, or a matrix that is rounded"
        on_gpu, limit = self.dtype != "float32", f"at most, of {gib(self.device_room)} GiB free"
        where = "on the disk" if self.activations_on_disk else "in main memory"
        rows = [
            FitRow("layer", self.layer_bytes, f"the largest, in {self.dtype}"),
            FitRow("Hessians", self.hessians.nbytes, passes),
            FitRow("work", working, work if self.step_bytes else "a matrix that is rounded"),
            FitRow("training", self.distilling_bytes, "afterwards: the rounded model as a whole"),
            FitRow("GPU", self.device_bytes if on_gpu else 0, limit),
            FitRow("activations", self.activation_bytes, f"{where}, between two layers"),
            FitRow("main memory", self.ram_bytes, "at most" if on_gpu else limit),
        ]
        return [row for row in rows if row.size_bytes]

    def disk_rows(self) -> list[FitRow]:
        """Return what is written."""
        share = self.size.total / max(self.size.total_before, 1)
        return [
            FitRow("disk", self.disk_bytes, "until it is finished"),
            FitRow("result", self.size.total, f"{share:.0%} of the original"),
        ]


def quantise_plan(
    opened: OpenedModel, recipe: Recipe, machine: Machine, *, limit_bytes: int | None = None
) -> QuantisePlan:
    """Count what a quantisation takes.

    One layer is on the device in the compute type; beside it either some windows on their way
    through it with the Hessians that they add to, or one matrix that is being rounded with those.
    Where the device has no room for all Hessians of a layer, they are gathered in rounds.

    Args:
        opened: The model, in 16 bits.
        recipe: How it is quantised.
        machine: Where.
        limit_bytes: Most memory of a GPU to use; ``None`` takes what is free.

    Raises:
        CheckpointError: A stack of experts has another shape than the config wants.
        UnsupportedModelError: Experts are stored in a format that is not supported.
    """
    spec, dtype = opened.spec, "bfloat16" if machine.is_gpu else "float32"
    length = min(recipe.calibration.length, spec.max_context)
    sites = quantised_sites(opened, recipe)
    size = size_of(opened, sites, recipe)
    room, free = machine.room_bytes, machine.ram_bytes if machine.is_gpu else machine.free_bytes
    if machine.is_gpu and limit_bytes is not None:
        room = min(room, limit_bytes)
    activations = _activations(spec, sites, recipe, length, dtype)
    on_disk = activations > free * _MAPPED_SHARE
    in_memory = 0 if on_disk else activations
    beside = _context(machine) if machine.is_gpu else _PROCESS + in_memory
    largest = _largest_layer(opened, sites.layers[-1], dtype)
    step = 0
    if recipe.needs_calibration:
        step = step_bytes(spec, sites, length, dtype, machine.device)
    solving = solving_bytes(sites.layers, recipe, machine.device)
    working = beside + largest + max(step, solving)
    hessians = plan_hessians(sites.layers, recipe, room - working)
    training = 0
    if recipe.distil is not None:
        training = distilling_bytes(
            spec, sites, recipe, quantised_bytes=size.quantised, length=length, dtype=dtype
        )
    device = ram = max(working + hessians.nbytes, beside + training)
    if machine.is_gpu:
        table = spec.vocab_size * spec.hidden_size * ELEMENT_BYTES[dtype]
        ram = _PROCESS + max(largest, table) + in_memory
    return QuantisePlan(
        dtype=dtype,
        length=length,
        layer_bytes=largest,
        step_bytes=step,
        solving_bytes=solving,
        distilling_bytes=training,
        hessians=hessians,
        activation_bytes=activations,
        activations_on_disk=on_disk,
        size=size,
        device_bytes=device,
        device_room=room,
        ram_bytes=ram,
        disk_bytes=_disk(size, recipe) + (activations if on_disk else 0),
        shortages=tuple(_shortages(machine, recipe, device, room, ram)),
    )


def _activations(
    spec: DecoderSpec, sites: QuantisedSites, recipe: Recipe, length: int, dtype: str
) -> int:
    """Return the most that lies between two layers."""
    if not recipe.needs_calibration:
        return 0
    found = activation_bytes(spec, recipe.calibration.samples * length, dtype)
    if recipe.distil is not None:  # before the first layer, and after the original's last
        found *= 2
    if recipe.target_bytes is not None:
        found = max(found, mixing_bytes(spec, sites, length, dtype))
    return found


def _disk(size: ModelSize, recipe: Recipe) -> int:
    """Return what is written until the end: finished layers lie beside the new files."""
    results = 1 if recipe.distil is None else 2
    copies = 2 if size.total < SINGLE_FILE_BYTES else 1
    return copies * size.total + results * size.quantised


def _largest_layer(opened: OpenedModel, last: Sequence[Site], dtype: str) -> int:
    """Return the bytes of the largest layer, or of the output projection where that is rounded."""
    tied = shares_embedding(opened.checkpoint)
    sizes = expanded_sizes(opened.checkpoint, opened.spec, dtype, tied=tied)
    layers = max(map(sum, zip(sizes.layers, sizes.experts, strict=True)), default=0)
    return max(layers, sum(site.weights for site in last) * ELEMENT_BYTES[dtype])


def _context(machine: Machine) -> int:
    """Return what CUDA takes for itself, as far as that is not a part of what is not free."""
    return 0 if machine.has_context else CUDA_CONTEXT


def _shortages(machine: Machine, recipe: Recipe, device: int, room: int, ram: int) -> list[str]:
    found = []
    if device > room:
        ways = ["close other programs"]
        if recipe.rounding.solver == "gptq":
            ways.append("take --method rtn, which needs no Hessians")
        if recipe.distil is not None:
            ways = ["leave out --distil"]
        if machine.is_gpu and 2 * device < machine.ram_bytes:  # numbers are twice as wide there
            ways.append("use the CPU with --device cpu")
        what = "The GPU" if machine.is_gpu else "This computer"
        found.append(
            f"{what} has {gib(room)} GiB of memory to spare, and quantising takes {gib(device)} GiB; "
            f"{_alternatives(ways)}."
        )
    if machine.is_gpu and ram > machine.ram_bytes:
        found.append(
            f"Main memory has {gib(machine.ram_bytes)} GiB free, and quantising takes {gib(ram)} GiB; "
            "close other programs, or take fewer windows with --samples."
        )
    return found


def _alternatives(ways: Sequence[str]) -> str:
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}, or {ways[-1]}"
