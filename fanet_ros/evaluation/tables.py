"""The results of an evaluation as tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from fanet_ros.evaluation.protocols import METRICS, Protocol

if TYPE_CHECKING:  # listing the protocols needs no torch
    from fanet_ros.evaluation.truth import CoarseTruth
    from fanet_ros.reports.scores import Scores


_SHOWN_FROM = 0.001  # share of a coarse class


def class_table(scores: Scores, names: Iterable[str], left_out: Iterable[str], title: str) -> Table:
    """Return IoU, F1 and share of every class, in percent, and their means."""
    table = Table(title=escape(title), show_footer=True)
    table.add_column("class", "mean")
    for heading, footer in (("IoU", scores.miou), ("F1", scores.mean_f1), ("share of pixels", math.nan)):
        table.add_column(heading, "" if math.isnan(footer) else f"{100 * footer:.2f}", justify="right")
    excluded = set(left_out)
    for name, iou, f1, share in zip(names, scores.iou, scores.f1, scores.shares, strict=True):
        mark = " (left out)" if name in excluded else "" if share else " (not in the truth)"
        table.add_row(escape(name + mark), _percent(iou), _percent(f1), _percent(share))
    return table


def coarse_table(coarse: CoarseTruth) -> Table:
    """Return what became of each coarse class: the network's classes that its pixels got, in percent of them."""
    meaning = coarse.meaning
    table = Table("class", "may be", "was found to be, in percent", title="within the coarse classes")
    for own, own_name in enumerate(meaning.own.names):
        counts = coarse.found[own]
        total = counts.sum()
        shares = sorted(((count / total, index) for index, count in enumerate(counts) if count), reverse=True)
        shown = [(share, meaning.network.names[index]) for share, index in shares if share >= _SHOWN_FROM]
        found = ", ".join(f"{name} {100 * share:.1f}" for share, name in shown)
        may_be = ", ".join(meaning.network.names[index] for index in meaning.may_be[own])
        table.add_row(escape(own_name), escape(may_be), escape(found))
    return table


def published_table(scores: Scores, protocol: Protocol, measured: str) -> Table:
    """Return published figures beside the measured ones, in percent.

    Args:
        scores: that were measured.
        protocol: with figures that were published.
        measured: name of the network they were measured with.
    """
    metrics = [metric for metric in METRICS if any(metric in p.figures for p in protocol.published)]
    table = Table(title=escape(f"protocol {protocol.name}"))
    table.add_column("network")
    for metric in metrics:
        table.add_column(METRICS[metric], justify="right")
    table.add_column("source")
    table.add_row(escape(measured), *(_percent(getattr(scores, metric)) for metric in metrics), "measured now")
    for published in protocol.published:
        figures = (published.figures.get(metric, math.nan) for metric in metrics)
        shown = ("-" if math.isnan(figure) else f"{figure:.1f}" for figure in figures)
        table.add_row(escape(published.network), *shown, escape(published.source))
    return table


def protocol_table(protocols: Iterable[Protocol]) -> Table:
    """Return all protocols with their settings and published figures."""
    table = Table("protocol", "data set", "settings", "published, in percent", title="protocols")
    for protocol in protocols:
        settings = protocol.settings
        lines = [f"input {settings.input_size}"]
        lines += [f"{key} {value}" for key, value in settings.options.items()]
        lines += ["scales " + ",".join(f"{s:g}" for s in settings.scales)] if settings.scales != (1.0,) else []
        lines += ["flip"] if settings.flip else []
        lines += [f"temporal {settings.temporal_frames}"] if settings.temporal_frames else []
        lines += [f"window {settings.window}"] if settings.window else []
        lines += [f"stride {settings.stride}"] if settings.stride else []
        lines += ["without " + ", ".join(settings.leave_out)] if settings.leave_out else []
        figures = [str(published) for published in protocol.published] + ([protocol.note] if protocol.note else [])
        where = f"{settings.dataset} {settings.split}"
        table.add_row(*(escape(text) for text in (protocol.name, where, "\n".join(lines), "\n".join(figures))))
    return table


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"
