# Two commands matter: `make run` and `make test`. Both set up what they need.
BENCHES := bench-emulator bench-timescale bench-timescale_series bench-ptp
.PHONY: run demo test test-full check bench $(BENCHES) setup setup-test clean

BIN := .venv/bin
RUN_OPTIONS ?=

run: setup
	@exec $(BIN)/time-appliance run --virtual $(RUN_OPTIONS)

demo: setup-test
	@mkdir -p run
	@$(BIN)/time-appliance run --virtual --fast --duration 4h --faults docs/demo-faults.toml \
	    --report run/demo.json --plot run/demo.png

setup:
	@tools/setup.sh run

setup-test:
	@tools/setup.sh test

check: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy timecard appliance api tests bench tools
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest -m "not full"

test-full: check
	$(BIN)/pytest --junitxml=run/test-full.xml
	$(BIN)/python tools/record.py test-full run/test-full.xml

bench: $(BENCHES)
	@$(BIN)/python tools/bench_table.py

$(BENCHES): bench-%: setup-test
	@$(BIN)/python -m bench.$*

clean:
	rm -rf .venv build run bench/out *.egg-info appliance/ptp/_native*.so
