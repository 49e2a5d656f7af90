# raftmgr: one Makefile, not recursive. `make help` lists the targets.

VERSION := 0.1.0
PREFIX ?= /usr/local
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
BUILD ?= build
# The live tests find the programs by it.
export BUILD
SANITIZE ?=
JOBS ?= $(shell nproc)
# One suite of unit tests, or one live test, by name.
T ?=
# How many seeds, and how many virtual seconds each.
N ?= 200
SECONDS_EACH ?= 60
SEED ?= 1

PKGS := libuv jansson openssl liblz4 libpq
CSTD := -std=gnu17 -D_GNU_SOURCE
WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Werror
HARDEN := -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2
OPT ?= -O2 -g

# What pkg-config says is asked for when first needed, and once: `make deps` may install it before.
once = $(eval $(1) := $(2))$($(1))
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(shell pkg-config --cflags $(PKGS) 2>/dev/null))
LIB_UV = $(call once,LIB_UV,$(shell pkg-config --libs libuv))
LIB_TLS = $(call once,LIB_TLS,$(shell pkg-config --libs openssl))
LIB_LZ4 = $(call once,LIB_LZ4,$(shell pkg-config --libs liblz4))
LIB_PQ = $(call once,LIB_PQ,$(shell pkg-config --libs libpq))
LIB_JSON = $(call once,LIB_JSON,$(shell pkg-config --libs jansson))

# A system's libraft where it is new enough (Debian 13), or else the one that `make deps` builds.
RAFT_DIR := build/deps/libraft
RAFT_SYSTEM = $(call once,RAFT_SYSTEM,$(shell pkg-config --exists 'raft >= 0.22.1' 'raft < 0.23' 2>/dev/null && echo yes))
RAFT_CFLAGS = $(if $(RAFT_SYSTEM),,-isystem $(RAFT_DIR)/include)
LIB_RAFT = $(if $(RAFT_SYSTEM),-lraft,$(RAFT_DIR)/lib/libraft.a)

SAFETY := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all,$(HARDEN))
CFLAGS_ALL = $(CSTD) $(WARN) $(OPT) $(SAFETY) -fPIE -DRAFTMGR_VERSION='"$(VERSION)"' \
	-Isrc -I$(BUILD)/gen $(RAFT_CFLAGS) $(PKG_CFLAGS) $(CFLAGS)
PIE := -pie
LDFLAGS_ALL = $(PIE) $(if $(SANITIZE),-fsanitize=$(SANITIZE),-Wl,-z,relro,-z,now) $(LDFLAGS)
LIBS_ALL = $(LIB_RAFT) $(LIB_UV) $(LIB_LZ4) $(LIB_TLS) $(LIB_PQ) $(LIB_JSON)

# --- what there is to build ------------------------------------------------------------------------------------------

sources = $(sort $(wildcard src/$(1)/*.c))
objects = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(call sources,$(1)))
tests = $(patsubst tests/%.c,$(BUILD)/test/%.o,$(sort $(wildcard tests/$(1)/*.c)))

BASE := $(call objects,base)
CORE := $(call objects,core)
CONSENSUS := $(call objects,consensus)
NET := $(call objects,net)
PG := $(call objects,pg)
DAEMON_MAIN := $(BUILD)/obj/daemon/main.o
DAEMON := $(filter-out $(DAEMON_MAIN),$(call objects,daemon))
GUARD_MAIN := $(BUILD)/obj/guard/main.o
GUARD := $(filter-out $(GUARD_MAIN),$(call objects,guard))
CLI_MAIN := $(BUILD)/obj/cli/main.o
CLI := $(filter-out $(CLI_MAIN),$(call objects,cli))

BINS := $(addprefix $(BUILD)/bin/,raftmgrd rmctl raftmgr-guard)

# What unit tests may link; a suite of the inner layers runs alone with fewer (UNIT_DIRS="base core" T=lease).
UNIT_DIRS ?= base core consensus net pg guard daemon cli
UNIT_OBJECTS = $(filter-out %/main.o,$(foreach dir,$(UNIT_DIRS),$(call objects,$(dir))))
UNIT_NAMES := $(if $(T),$(T),$(sort $(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c))))
UNIT_DIR := $(BUILD)/test/unit$(if $(T),-$(T))
UNIT_BIN := $(BUILD)/bin/unit$(if $(T),-$(T))

# The simulator runs the real core and the files of the daemon that reach the world through its ports alone.
SIM_BIN := $(BUILD)/bin/raftmgr-sim
SIM_OBJECTS = $(call tests,sim) $(filter $(BUILD)/obj/daemon/manager%.o,$(DAEMON)) $(CORE) $(BASE)

# Each C file of the live tests, the demonstration and the measurements is a program of its own.
HELPER_FILES := $(wildcard tests/live/*.c tests/demo/*.c tests/bench/*.c)
HELPERS := $(addprefix $(BUILD)/bin/,$(basename $(notdir $(HELPER_FILES))))

MAN_PAGES := $(sort $(wildcard docs/man/*.[158]))
HEADERS := $(sort $(wildcard src/*/*.h tests/*/*.h))
C_FILES := $(sort $(wildcard src/*/*.c tests/*/*.c))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all deps need-deps test test-all check demo bench install uninstall dist clean help helpers FORCE
.PHONY: layers purity hdr-check man-check format format-check tidy limits unit unit-bin sim sim-bin sim-many \
	sim-self-test live pg13 pg17 asan sim-asan clang cover

all: $(BINS) ## build raftmgrd, rmctl and raftmgr-guard into build/bin

help: ## list the targets
	@awk -F':.*## ' '/^[a-z][a-z0-9 -]*:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what is missing with apt, and build libraft where the system has none that will do
	@tools/deps.sh

# Says what is missing instead of a compiler's error; asked before anything is compiled.
need-deps:
	@tools/need-deps.sh "$(if $(RAFT_SYSTEM),,$(RAFT_DIR)/lib/libraft.a)" $(PKGS)

# Short lines for long commands; V=1 shows the commands.
Q := $(if $(V),,@)
says = $(if $(V),,@echo '  $(1) $(patsubst $(BUILD)/%,%,$@)')

# --- compiling and linking -------------------------------------------------------------------------------------------

$(BUILD)/obj/%.o: src/%.c | need-deps
	@mkdir -p $(@D)
	$(call says,CC)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/test/%.o: tests/%.c | need-deps
	@mkdir -p $(@D)
	$(call says,CC)
	$(Q)$(CC) $(CFLAGS_ALL) -Itests -I$(<D) -MMD -MP -c -o $@ $<

$(BUILD)/bin/raftmgrd: $(DAEMON_MAIN) $(DAEMON) $(PG) $(CONSENSUS) $(NET) $(GUARD) $(CORE) $(BASE)
	@mkdir -p $(@D)
	$(call says,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_ALL)

$(BUILD)/bin/rmctl: $(CLI_MAIN) $(CLI) $(PG) $(GUARD) $(CORE) $(BASE)
	@mkdir -p $(@D)
	$(call says,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIB_UV) $(LIB_PQ) $(LIB_JSON)

# Static: the guard needs no library while memory is short, and half the memory.
$(BUILD)/bin/raftmgr-guard: PIE := $(if $(SANITIZE),-pie,-static-pie)
$(BUILD)/bin/raftmgr-guard: $(GUARD_MAIN) $(GUARD) $(BASE)
	@mkdir -p $(@D)
	$(call says,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

# --- checks that need no run -----------------------------------------------------------------------------------------

layers: ## hold every include against tests/lint/layers.txt
	@awk -f tests/lint/layers.awk tests/lint/layers.txt $(sort $(wildcard src/*/*.c src/*/*.h src/*/*.def))

purity: $(CORE) ## core's objects may need nothing but what tests/lint/core-symbols.txt allows
	@$(if $(SANITIZE),echo "purity: look at objects without sanitizers"; false,:)
	@tools/purity.sh tests/lint/core-symbols.txt $(CORE)

hdr-check: $(patsubst %,$(BUILD)/lint/%.alone,$(HEADERS)) ## every header compiles alone
	@echo "hdr-check: $(words $(HEADERS)) headers compile alone"

$(BUILD)/lint/%.h.alone: %.h | need-deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Itests -I$(<D) -MMD -MP -MF $@.d -MT $@ -x c -fsyntax-only $<
	@touch $@

format: ## format C files in place (F=file for one)
	@tools/format.sh -i $(if $(F),$(F),$(C_FILES) $(HEADERS))

format-check: ## every C file is as .clang-format wants it
	@tools/format.sh --dry-run -Werror $(C_FILES) $(HEADERS)

man-check: ## mandoc finds nothing wrong with the manual pages
	@mandoc -T lint -W warning $(MAN_PAGES)
	@echo "man-check: $(words $(MAN_PAGES)) pages"

limits: ## files stay readable: lengths of files and lines
	@awk -f tests/lint/limits.awk $(C_FILES) $(HEADERS)

tidy: limits $(patsubst %,$(BUILD)/lint/%.tidy,$(filter src/%,$(C_FILES))) ## clang-tidy, and lengths of functions
	@echo "tidy: nothing found"

$(BUILD)/lint/%.c.tidy: %.c .clang-tidy | need-deps
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(CFLAGS_ALL) 2>$@.err || { cat $@.err >&2; exit 1; }
	@rm -f $@.err
	@touch $@

# --- unit tests ------------------------------------------------------------------------------------------------------

unit: unit-bin ## run the unit tests, or one suite of them (T=buf)
	@$(UNIT_BIN)

unit-bin: $(UNIT_BIN) $(BUILD)/bin/raftmgr-guard

# Lists are rewritten only where they have changed, so that nothing is built again for nothing.
$(UNIT_DIR)/suites.inc: FORCE
	@mkdir -p $(@D)
	@printf 'SUITE(%s)\n' $(UNIT_NAMES) >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(UNIT_DIR)/objects.list: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(UNIT_OBJECTS) >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(UNIT_DIR)/main.o: tests/unit/main.c $(UNIT_DIR)/suites.inc | need-deps
	$(call says,CC)
	$(Q)$(CC) $(CFLAGS_ALL) -I$(UNIT_DIR) -Itests/unit -MMD -MP -c -o $@ $<

# A library, so that a suite takes in only what it uses.
$(UNIT_DIR)/libraftmgr.a: $(UNIT_DIR)/objects.list $(UNIT_OBJECTS)
	@rm -f $@
	@ar rcs $@ $(UNIT_OBJECTS)

$(UNIT_BIN): $(UNIT_DIR)/main.o $(patsubst %,$(BUILD)/test/unit/test_%.o,$(UNIT_NAMES)) $(UNIT_DIR)/libraftmgr.a
	@mkdir -p $(@D)
	$(call says,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcunit $(LIBS_ALL)

# --- simulator -------------------------------------------------------------------------------------------------------

sim: sim-bin ## replay one seed (SEED=7 SECONDS_EACH=60)
	$(SIM_BIN) --seed $(SEED) --seconds $(SECONDS_EACH)

sim-many: sim-bin ## search many seeds for a broken guarantee (N=1000)
	$(SIM_BIN) --many $(N) --seconds $(SECONDS_EACH)

sim-self-test: sim-bin ## each planted bug is found by the simulator's checkers
	$(SIM_BIN) --self-test

sim-bin: $(SIM_BIN)

$(SIM_BIN): $(SIM_OBJECTS)
	@mkdir -p $(@D)
	$(call says,LD)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

# --- live tests, demonstration, measurements -------------------------------------------------------------------------

helpers: $(HELPERS)

define helper_rule
$(BUILD)/bin/$(basename $(notdir $(1))): $(patsubst tests/%.c,$(BUILD)/test/%.o,$(1)) $(PG) $(GUARD) $(CORE) $(BASE)
	@mkdir -p $$(@D)
	$$(call says,LD)
	$$(Q)$$(CC) $$(LDFLAGS_ALL) -o $$@ $$^ $$(LIB_PQ) $$(LIB_UV)
endef
$(foreach file,$(HELPER_FILES),$(eval $(call helper_rule,$(file))))

live: all helpers ## run the live tests with real servers, or one of them (T=name), with one major (POSTGRES=13)
	tests/live/run $(if $(POSTGRES),--pg $(POSTGRES)) $(T)

pg13 pg17: ## build PostgreSQL 13 or 17 for `make live POSTGRES=13`; nothing is installed
	@tools/postgres.sh $(@:pg%=%)

demo: deps ## a cluster on this machine that loses its primary before your eyes; sets up what it needs
	+@$(MAKE) $(PARALLEL) all helpers
	tests/demo/demo

bench: deps ## measure failover, switchover and what the lease costs
	+@$(MAKE) $(PARALLEL) all helpers
	tests/bench/bench

# --- everything ------------------------------------------------------------------------------------------------------

PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))
# layers first: it is the quickest to fail.
LINT_STEPS = "layers=$(MAKE) layers" "build=$(MAKE) $(PARALLEL) all helpers unit-bin sim-bin" "purity=$(MAKE) purity" \
	"hdr-check=$(MAKE) $(PARALLEL) hdr-check" "format-check=$(MAKE) format-check" \
	"limits=$(MAKE) limits" "man-check=$(MAKE) man-check"

test: deps ## what a change must pass: lint, unit tests, 1000 seeds, planted bugs, the short live tests
	+@tools/tally.sh $(BUILD)/log $(LINT_STEPS) "unit=$(MAKE) unit" "sim=$(MAKE) sim-many N=1000" \
		"plants=$(MAKE) sim-self-test" "live=tests/live/run --quick"

test-all: deps ## the same with all live tests
	+@tools/tally.sh $(BUILD)/log $(LINT_STEPS) "unit=$(MAKE) unit" "sim=$(MAKE) sim-many N=1000" \
		"plants=$(MAKE) sim-self-test" "live=tests/live/run"

check: ## before a commit: lint, tidy, a build with clang, unit tests, 200 seeds
	+@tools/tally.sh $(BUILD)/log $(LINT_STEPS) "unit=$(MAKE) unit" "sim=$(MAKE) sim-many N=200" \
		"clang=$(MAKE) $(PARALLEL) clang" "tidy=$(MAKE) $(PARALLEL) tidy"

asan: ## unit tests and some seeds with the address and undefined behaviour sanitizers
	+$(MAKE) $(PARALLEL) BUILD=$(BUILD)/asan SANITIZE=address,undefined OPT="-O1 -g" unit-bin sim-bin
	LSAN_OPTIONS=suppressions=tests/lint/lsan.supp:print_suppressions=0 $(BUILD)/asan/bin/$(notdir $(UNIT_BIN))
	+$(MAKE) sim-asan N=50

sim-asan: ## search many seeds with the sanitizers (N=200)
	+$(MAKE) $(PARALLEL) BUILD=$(BUILD)/asan SANITIZE=address,undefined OPT="-O1 -g" sim-bin
	$(BUILD)/asan/bin/raftmgr-sim --many $(N) --seconds $(SECONDS_EACH)

clang: ## a strict build with clang, of its own
	+$(MAKE) $(PARALLEL) BUILD=$(BUILD)/clang CC=$(CLANG) all unit-bin

cover: ## how much of each file unit tests and some seeds reach
	+$(MAKE) $(PARALLEL) BUILD=$(BUILD)/cover OPT="-O0 -g" HARDEN= CFLAGS=--coverage LDFLAGS=--coverage unit-bin sim-bin
	find $(BUILD)/cover -name '*.gcda' -delete
	$(BUILD)/cover/bin/$(notdir $(UNIT_BIN))
	$(BUILD)/cover/bin/raftmgr-sim --many 20 --seconds $(SECONDS_EACH)
	@tools/cover.sh $(BUILD)/cover

# --- installing and packing ------------------------------------------------------------------------------------------

BINDIR := $(DESTDIR)$(PREFIX)/bin
MANDIR := $(DESTDIR)$(PREFIX)/share/man
EXAMPLEDIR := $(DESTDIR)$(PREFIX)/share/doc/raftmgr/examples
EXAMPLES := $(wildcard docs/reference/*.sample)
man_section = $(MANDIR)/man$(subst .,,$(suffix $(1)))

install: all ## install programs, manual pages and examples below $(DESTDIR)$(PREFIX)
	install -d $(BINDIR) $(EXAMPLEDIR)
	install -m 755 $(BINS) $(BINDIR)
	$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) $(call man_section,$(page))/$(notdir $(page)) &&) :
	install -m 644 $(EXAMPLES) $(EXAMPLEDIR)

uninstall: ## remove what install has put there
	rm -f $(addprefix $(BINDIR)/,$(notdir $(BINS)))
	$(foreach page,$(MAN_PAGES),rm -f $(call man_section,$(page))/$(notdir $(page)) &&) :
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/raftmgr

dist: ## pack the committed tree as build/raftmgr-VERSION.tar.gz
	@mkdir -p $(BUILD)
	git archive --format=tar.gz --prefix=raftmgr-$(VERSION)/ -o $(BUILD)/raftmgr-$(VERSION).tar.gz HEAD
	@echo $(BUILD)/raftmgr-$(VERSION).tar.gz

clean: ## remove what was built, but for the fetched libraft
	rm -rf $(addprefix $(BUILD)/,obj bin gen test lint log asan clang cover) $(wildcard $(BUILD)/raftmgr-*.tar.gz)

include tools/docs.mk
-include $(wildcard $(BUILD)/obj/*/*.d $(BUILD)/test/*/*.d $(BUILD)/lint/*/*/*.d)
