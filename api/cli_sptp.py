"""What ``sptp`` prints for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from appliance.ptp.sptp_report import SptpReport, Statistics


def print_report(report: SptpReport, console: Console) -> None:
    """Offset, path delay, losses, and what the server says about itself."""
    quality = report.quality
    console.print(
        f"{report.server} ({report.address}:{report.event_port}): "
        f"{len(report.samples)} of {report.sent} exchanges complete, {report.lost} lost"
    )
    table = Table("ns", "median", "mean", "std", "min", "max", "p99 |x|", box=None, padding=(0, 2, 0, 0))
    table.add_row("offset (client - server)", *_cells(report.offset))
    table.add_row("path delay", *_cells(report.path_delay))
    console.print(table)
    console.print(
        f"server: class {quality.clock_class}, accuracy 0x{quality.clock_accuracy:02X}, "
        f"grandmaster {quality.grandmaster_identity}, "
        f"TAI - UTC {report.utc_offset_s} s ({report.utc_offset_source})"
    )


def _cells(values: Statistics) -> list[str]:
    return [
        f"{value:,.0f}"
        for value in (values.median, values.mean, values.std, values.min, values.max, values.p99_abs)
    ]
