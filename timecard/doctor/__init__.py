"""``timecard doctor``: examine host and cards, diagnose, say what to do.

``examine`` collects facts, ``diagnose`` turns facts into findings (pure), ``report`` shows them. Facts can be
recorded and diagnosed elsewhere.
"""

from timecard.doctor.diagnose import diagnose, exit_status
from timecard.doctor.examine import Surroundings, examine
from timecard.doctor.facts import SystemFacts
from timecard.doctor.facts_json import FactsError, read_facts, write_facts
from timecard.doctor.findings import Finding, Severity
from timecard.doctor.report import report_json, report_lines

__all__ = [
    "FactsError",
    "Finding",
    "Severity",
    "Surroundings",
    "SystemFacts",
    "diagnose",
    "examine",
    "exit_status",
    "read_facts",
    "report_json",
    "report_lines",
    "write_facts",
]
