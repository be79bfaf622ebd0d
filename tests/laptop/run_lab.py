"""A lab as `kirzl-lab up` runs it, without a PID namespace: `run_lab.py DATA PORT`."""

import json
import sys
from pathlib import Path

from kirzl_lab.cli.lab import Options
from kirzl_lab.cli.processes import plain_launcher
from kirzl_lab.cli.state import Folder
from kirzl_lab.cli.supervisor import up

data, port = sys.argv[1:]
options = Options(Folder.at(Path(data)), Path("hub_config"), Path("courses"), int(port), demo=True)
up(options, lambda event: print(json.dumps(event), flush=True), plain_launcher())
