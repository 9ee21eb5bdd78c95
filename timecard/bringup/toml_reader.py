"""The reader of intent files, under the name it has had here."""

from __future__ import annotations

from timecard.toml_reader import MAX_FILE_BYTES as MAX_FILE_BYTES
from timecard.toml_reader import MAX_ROWS as MAX_ROWS
from timecard.toml_reader import IntentError as IntentError
from timecard.toml_reader import Table as Table
from timecard.toml_reader import parse_document as parse_document
from timecard.toml_reader import read_document as read_document
from timecard.toml_reader import shown as shown
