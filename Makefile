PYTHON ?= python3
VENV ?= .venv
SEED ?= 12
BIN := $(VENV)/bin
STAMP := $(VENV)/installed.stamp

.PHONY: demo test check docs api install lock clean

demo: install  ## make a DICOM study, segment it, compare with its truth: make demo SEED=12
	rm -rf demo
	$(BIN)/prostate-seg phantom demo --seed $(SEED) --format dicom
	$(BIN)/prostate-seg segment demo/images -o demo/segmented --format nifti,seg-nrrd,nrrd,png,report
	$(BIN)/prostate-seg evaluate demo/segmented demo/labels -o demo/evaluation
	@echo "mask:    demo/segmented/phantom$(SEED)/ctv.nii.gz"
	@echo "overlay: demo/segmented/phantom$(SEED)/overlay.png"
	@echo "pages:   demo/segmented/phantom$(SEED)/report.html, demo/evaluation/report.html"

test: install  ## the fast tests and the house rules
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not slicer and not browser" -q
	$(MAKE) check

check: install  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install  ## renew what is made from the code: docs/architecture.svg, docs/manifest.schema.json
	$(BIN)/python docs/architecture_view.py
	$(BIN)/python -c "from prostate_seg.writing.manifest_schema import schema_text; print(schema_text(), end='')" > docs/manifest.schema.json

api: install  ## build the API page, build/api/index.html; warnings are errors
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs/api build/api

install: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

lock: install  ## write the versions in use to constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf demo build dist *.egg-info
