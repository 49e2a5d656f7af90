# raftmgr: one Makefile, not recursive. `make help` lists the targets.

PREFIX ?= /usr/local
CC ?= gcc
BUILD ?= build
SANITIZE ?=
# A system's libraft where it is new enough (Debian 13), or else the one that `make deps` builds.
RAFT_DIR := build/deps/libraft
RAFT_SYSTEM := $(shell pkg-config --exists 'raft >= 0.22.1' 'raft < 0.23' 2>/dev/null && echo yes)

PKGS := libuv jansson openssl liblz4 libpq
CSTD := -std=gnu17 -D_GNU_SOURCE
WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Werror
HARDEN := -fstack-protector-strong -fstack-clash-protection -fPIE -D_FORTIFY_SOURCE=2
OPT ?= -O2 -g
CFLAGS_ALL = $(CSTD) $(WARN) $(OPT) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer,$(HARDEN)) \
	-Isrc -I$(BUILD)/gen $(if $(RAFT_SYSTEM),,-isystem $(RAFT_DIR)/include) $(shell pkg-config --cflags $(PKGS) 2>/dev/null) $(CFLAGS)
LDFLAGS_ALL = $(if $(SANITIZE),-fsanitize=$(SANITIZE),-pie -Wl,-z,relro,-z,now) $(LDFLAGS)

sources = $(sort $(wildcard src/$(1)/*.c))
objects = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(call sources,$(1)))

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

LIB_UV := $(shell pkg-config --libs libuv 2>/dev/null)
LIB_RAFT := $(if $(RAFT_SYSTEM),-lraft,$(RAFT_DIR)/lib/libraft.a)
LIB_TLS := $(shell pkg-config --libs openssl 2>/dev/null)
LIB_LZ4 := $(shell pkg-config --libs liblz4 2>/dev/null)
LIB_PQ := $(shell pkg-config --libs libpq 2>/dev/null)
LIB_JSON := $(shell pkg-config --libs jansson 2>/dev/null)

BINS := $(addprefix $(BUILD)/bin/,raftmgrd rmctl raftmgr-guard)

.DEFAULT_GOAL := all
.PHONY: all deps help clean

all: $(BINS) ## build raftmgrd, rmctl and raftmgr-guard into build/bin

deps: ## install what is missing with apt, and build libraft where the system has none that will do
	@tools/deps.sh

help: ## list the targets
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

clean: ## remove what was built, but for the fetched libraft
	rm -rf $(filter-out build/deps,$(wildcard build/*))

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/bin/raftmgrd: $(DAEMON_MAIN) $(DAEMON) $(PG) $(CONSENSUS) $(NET) $(filter-out %/guard.o,$(GUARD)) $(CORE) $(BASE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIB_RAFT) $(LIB_UV) $(LIB_LZ4) $(LIB_TLS) $(LIB_PQ) $(LIB_JSON)

$(BUILD)/bin/rmctl: $(CLI_MAIN) $(CLI) $(PG) $(CORE) $(BASE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIB_UV) $(LIB_PQ) $(LIB_JSON)

$(BUILD)/bin/raftmgr-guard: $(GUARD_MAIN) $(GUARD) $(BASE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^

-include $(wildcard $(BUILD)/obj/*/*.d)
