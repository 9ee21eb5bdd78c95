# Two commands matter: `make run` and `make test`. Both set up what they need.
BENCHES := bench-emulator bench-timescale bench-timescale_series bench-timescale_worlds bench-ptp bench-gnss bench-analyse bench-bound bench-ensemble bench-replay bench-spoofing
.PHONY: run demo demo-card test test-full vm-test check bench $(BENCHES) bench-timescale-full setup setup-test setup-vm clean

BIN := .venv/bin
RUN_OPTIONS ?=
# Tests of one file stay together, as they share what they start; much of their time is waiting.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile

run: setup
	@exec $(BIN)/time-appliance run --virtual $(RUN_OPTIONS)

demo: setup-test
	@mkdir -p run
	@$(BIN)/time-appliance run --virtual --fast --duration 4h --faults docs/demo-faults.toml \
	    --report run/demo.json --plot run/demo.png

demo-card: setup-test
	@$(BIN)/python tools/demo_card.py

setup:
	@tools/setup.sh run

setup-test:
	@tools/setup.sh test

# Stock Debian kernels in QEMU, with the virtual card attached; fetched once into ~/.cache/timecard-vm.
setup-vm: setup-test
	@tools/setup.sh vm

check: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy timecard appliance api tests bench tools examples
	$(BIN)/lint-imports

test: check setup-vm
	$(PYTEST) -m "not full"

test-full: check setup-vm
	$(PYTEST) --junitxml=run/test-full.xml
	$(BIN)/python tools/record.py test-full run/test-full.xml

vm-test: setup-vm
	$(BIN)/pytest tests/vm

bench: $(BENCHES)
	@$(BIN)/python tools/bench_table.py

$(BENCHES): bench-%: setup-test
	@$(BIN)/python -m bench.$*

# All that is said about the timescale; in full size an hour or more, kept in docs/records.
bench-timescale: bench-timescale_series bench-timescale_worlds

bench-timescale-full: setup-test bench-analyse bench-bound bench-replay
	@$(BIN)/python -m bench.timescale
	@$(BIN)/python -m bench.timescale_series --full
	@$(BIN)/python -m bench.timescale_worlds --full
	@$(BIN)/python -m bench.ensemble --full
	@$(BIN)/python -m bench.spoofing --full
	@$(BIN)/python tools/bench_record.py timescale timescale_series-full timescale_worlds-full timescale \
	    ensemble spoofing-full bound replay analyse

clean:
	rm -rf .venv build run bench/out *.egg-info appliance/*/_native*.so
