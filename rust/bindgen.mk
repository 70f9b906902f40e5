# SPDX-License-Identifier: GPL-2.0
#
# bindgen over include/livecore/helpers.h; rust/Makefile of the kernel has the
# model, which does not reach an out-of-tree build.

ifdef CONFIG_CC_IS_CLANG
livecore_bindgen_c_flags = $(c_flags)
else
# What gcc knows and libclang does not; rust/Makefile: bindgen_skip_c_flags.
livecore_bindgen_skip := -mno-fp-ret-in-387 -mpreferred-stack-boundary=% \
	-mskip-rax-setup -mgeneral-regs-only -mindirect-branch=% \
	-mindirect-branch-register -mfunction-return=% -mrecord-mcount \
	-mindirect-branch-cs-prefix -mstack-protector-guard% \
	-fconserve-stack -falign-jumps=% -falign-loops=% \
	-femit-struct-debug-baseonly -fno-ipa-cp-clone -fno-ipa-sra \
	-fno-partial-inlining -fno-reorder-blocks -fno-allow-store-data-races \
	-fasan-shadow-offset=% -fzero-call-used-regs=% \
	-fno-stack-clash-protection -fno-inline-functions-called-once \
	-fsanitize=bounds-strict -fstrict-flex-arrays=% \
	-fmin-function-alignment=% -fzero-init-padding-bits=% \
	-fdiagnostics-show-context -fdiagnostics-show-context=% \
	--param=% --param asan-% -fno-isolate-erroneous-paths-dereference
livecore_bindgen_c_flags = $(filter-out $(livecore_bindgen_skip), $(c_flags)) \
	-w --target=x86_64-linux-gnu
endif

quiet_cmd_livecore_bindgen = BINDGEN $@
      cmd_livecore_bindgen = \
	$(BINDGEN) $< --rust-target 1.85 --use-core --with-derive-default \
		--ctypes-prefix kernel::ffi --no-layout-tests --no-debug '.*' \
		--enable-function-attribute-detection --no-recursive-allowlist \
		--allowlist-function 'livecore_.*' --allowlist-type 'livecore_.*' \
		--allowlist-var 'LIVECORE_.*' --allowlist-var 'NT_LIVECORE_.*' \
		--raw-line 'use kernel::bindings::*;' \
		-o $@ -- $(livecore_bindgen_c_flags) -fno-builtin -D__BINDGEN__ -DMODULE

targets += rust/bindings_gen.rs
$(obj)/rust/bindings_gen.rs: $(src)/include/livecore/helpers.h FORCE
	$(call if_changed_dep,livecore_bindgen)
