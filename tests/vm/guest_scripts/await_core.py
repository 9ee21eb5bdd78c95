"""Runs in the guest: asks core until it says one of the wanted states or words, then prints what it said.

Arguments: socket, states or words separated by "|", limit in seconds. Status 1 when it never said so.
"""

import sys
import time
from pathlib import Path

from appliance.ipc import CoreClient, CoreError

socket, wanted, limit_s = Path(sys.argv[1]), sys.argv[2].split("|"), float(sys.argv[3])
client = CoreClient(socket, timeout_s=10.0)
end = time.monotonic() + limit_s
said = "nothing"
while time.monotonic() < end:
    try:
        said = client.report().model_dump_json()
    except CoreError as error:
        said = str(error)
    if any(words in said for words in wanted):
        print(said)
        sys.exit(0)
    time.sleep(0.3)
print(said)
sys.exit(1)
