# SPDX-License-Identifier: GPL-2.0
#
# livecore: `make demo` shows it, `make check` tests it, `make help` lists the rest.

KDIR ?= /lib/modules/$(shell uname -r)/build
KERNEL ?= 7.2
MEM ?= 2G
SMP ?=
MINUTES ?= 60
SEED ?=
TESTS ?= *
lab := tools/lab/enter python3 -m lab
commit = $(shell git describe --always --dirty 2>/dev/null)

# A variable as one word of the shell, as it was given: make expands no $ in it.
quoted = '$(subst ','\'',$(value $(1)))'

all: modules

modules:
	@tools/lab/check-kdir '$(KDIR)'
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' MO='$(CURDIR)/build/local' modules

install:
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' MO='$(CURDIR)/build/local' modules_install

demo:
	@$(lab) demo

check:
	@$(lab) check --tests $(call quoted,TESTS) --kernels $(call quoted,KERNELS)

soak:
	@$(lab) soak --minutes '$(MINUTES)' --seed '$(SEED)' \
		--tests $(call quoted,TESTS) --kernels $(call quoted,KERNELS) --commit '$(commit)'

bench:
	@$(lab) bench --kernel '$(KERNEL)' $(if $(SHORT),--short) $(if $(ICOUNT),--count) \
		--sizes $(call quoted,SIZES) --threads $(call quoted,THREADS) \
		--layouts $(call quoted,LAYOUTS) --dumpers $(call quoted,DUMPERS) \
		--repeat '$(or $(REPEAT),0)' --commit '$(commit)'

lint:
	@$(lab) lint

vm:
	@$(lab) vm --kernel '$(KERNEL)' --memory '$(MEM)' $(if $(SMP),--cpus '$(SMP)') -- $(call quoted,RUN)

shell:
	@$(lab) shell --kernel '$(KERNEL)' --memory '$(MEM)' $(if $(SMP),--cpus '$(SMP)')

clean:
	rm -rf build

help:
	@cat tools/lab/help

.PHONY: all modules install demo check soak bench lint vm shell clean help
