# husk: a runc-compatible OCI runtime that puts every container into a microVM. `make help` lists the targets.
# SAN=1: with ASan and UBSan, SAN=thread: with TSan, SAN=fuzz: for libFuzzer; each in a build folder of its own.
SAN ?=
BUILD ?= build$(SAN:%=/san-%)
PREFIX ?= /usr/local
CXX ?= g++

.DEFAULT_GOAL := all
SHELL := /bin/bash

# --- flags -----------------------------------------------------------------------------------------------------------
VERSION := 0.1.0
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
CPPFLAGS += -I. -I$(BUILD)/gen -I/usr/include/libnl3 -DSPDLOG_FMT_EXTERNAL -DFMT_HEADER_ONLY -D_GNU_SOURCE
CXXFLAGS ?= -O2
CXXFLAGS += -std=c++20 -Wall -Wextra -Werror -fno-plt -ffunction-sections -fdata-sections
# gcc 12 sees overlaps in assignments of string literals (its bug 105651).
CXXFLAGS += $(if $(findstring clang,$(CXX)),,-Wno-restrict)
LDFLAGS += -Wl,--gc-sections
ifneq ($(SAN),)
SANITIZERS_1 := address,undefined
SANITIZERS_thread := thread
SANITIZERS_fuzz := fuzzer-no-link,address,undefined
SANITIZERS := $(SANITIZERS_$(SAN))
# -Werror is for the plain build: with sanitizers gcc 12 warns of what is not there.
CXXFLAGS += -O1 -g1 -fsanitize=$(SANITIZERS) -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-error
LDFLAGS += -fsanitize=$(SANITIZERS)
STATIC :=
else
# Static programs start in a third of the time of dynamic ones, and the guest has no libraries at all.
STATIC := -static
endif

NL_LIBS = $(shell pkg-config --static --libs libnl-3.0)

# --- rooms: every *.cc of a folder goes into one archive; who may include whom is checked by tests/check-includes ----------
room = $(patsubst %.cc,$(BUILD)/obj/%.o,$(foreach d,$(1),$(wildcard $(d)/*.cc)))
ROOMS := base spec linux init container host wire client guest server vm sandbox
base_DIRS := libcontainer/base
spec_DIRS := spec
linux_DIRS := libcontainer/linux
init_DIRS := libcontainer/init
container_DIRS := libcontainer/container
host_DIRS := libcontainer/host
wire_DIRS := agent/wire
client_DIRS := agent/client
guest_DIRS := agent/guest
server_DIRS := agent/server
vm_DIRS := vm vm/qemu vm/share vm/net vm/sizing vm/template
sandbox_DIRS := vm/sandbox vm/pool

define room_rule
$(BUILD)/lib/$(1).a: $(call room,$($(1)_DIRS)) $(if $(filter wire,$(1)),$(BUILD)/obj/gen/agent.pb.o)
	@mkdir -p $$(@D); rm -f $$@; $$(AR) rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rule,$(r))))
libs = $(patsubst %,$(BUILD)/lib/%.a,$(1))

# --- generated code --------------------------------------------------------------------------------------------------
GEN := $(BUILD)/gen/agent.pb.h
$(BUILD)/gen/agent.pb.cc $(GEN) &: agent/proto/agent.proto
	@mkdir -p $(BUILD)/gen
	protoc -Iagent/proto --cpp_out=$(BUILD)/gen $<

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.cc $(GEN)
	@mkdir -p $(@D)
	@echo "  CXX $<"
	@$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/obj/%.o: %.cc
	@mkdir -p $(@D)
	@echo "  CXX $<"
	@$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c $< -o $@
# What includes generated headers needs them before its first compile; later -MMD knows.
$(call room,$(wire_DIRS) $(client_DIRS) $(server_DIRS) $(sandbox_DIRS) cmd/husk-agent cmd/husk-sandbox tests/agent tests/vm tests/fuzz): | $(GEN)

# --- programs --------------------------------------------------------------------------------------------------------
# husk, husk-shim and husk-init never link protobuf: they start in milliseconds.
PROGRAMS := husk husk-sandbox husk-shim husk-agent husk-init husk-systemd
husk_LIBS := sandbox host init container vm linux spec base
husk_EXT := $(NL_LIBS) -lseccomp -lcap
husk-shim_LIBS :=
husk-init_LIBS := init linux spec base
husk-init_EXT := -lseccomp -lcap
husk-systemd_LIBS := linux base
husk-systemd_EXT := $(shell pkg-config --libs libsystemd)
husk-sandbox_LIBS := sandbox client wire container vm linux spec base
husk-sandbox_EXT = -lprotobuf-lite $(NL_LIBS) -lseccomp -lcap
husk-agent_LIBS := server guest wire init linux spec base
husk-agent_EXT = -lprotobuf-lite $(NL_LIBS) -lseccomp -lcap -Wl,--wrap=_ZNSt8ios_base4InitC1Ev,--wrap=_ZNSt8ios_base4InitD1Ev
BIN := $(addprefix $(BUILD)/bin/,$(PROGRAMS))

# Debian has no static libsystemd.
$(BUILD)/bin/husk-systemd: STATIC :=

# The version is compiled into two rooms only, so that a commit does not rebuild the rest.
$(call room,cmd/husk agent/server): CPPFLAGS += -DHUSK_VERSION='"$(VERSION)"' -DHUSK_COMMIT='"$(COMMIT)"'

define program_rule
$(BUILD)/bin/$(1): $(call room,cmd/$(1)) $(call libs,$($(1)_LIBS))
	@mkdir -p $$(@D)
	@echo "  LD  $$@"
	@$$(CXX) $$(CXXFLAGS) $$(LDFLAGS) $$(STATIC) $(call room,cmd/$(1)) -Wl,--start-group $(call libs,$($(1)_LIBS)) -Wl,--end-group $$($(1)_EXT) -o $$@
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rule,$(p))))

.PHONY: all
all: need-deps $(BIN) $(BUILD)/man/husk.toml.5 ## build the six programs into build/bin

# husk.toml.5 comes from the table of options, as everything about options does.
$(BUILD)/man/generate: $(call room,man) $(call libs,spec base)
	@mkdir -p $(@D)
	@$(CXX) $(CXXFLAGS) $(LDFLAGS) $^ -o $@
$(BUILD)/man/husk.toml.5: $(BUILD)/man/generate
	@$< > $@

# --- dependencies ----------------------------------------------------------------------------------------------------
# What builds husk, what runs it, what tests it: Debian 12's names.
DEPS_BUILD := build-essential pkg-config libseccomp-dev libcap-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev \
  libprotobuf-dev protobuf-compiler libnl-3-dev libsystemd-dev libgtest-dev
DEPS_GUEST := cpio lz4 kmod linux-source-6.1 flex bison bc libelf-dev libssl-dev xz-utils
DEPS_RUN := qemu-system-x86 qemu-system-common
DEPS_TEST := bats jq libgrpc++-dev busybox-static docker.io podman conmon runc crun containernetworking-plugins iptables iproute2 \
  bsdextrautils bsdutils mount e2fsprogs uidmap slirp4netns procps socat sqlite3 containerd systemd
DEPS_LINT := clang-format clang-tidy
DEPS_FUZZ := clang libclang-rt-14-dev
STAMP := $(BUILD)/.deps

.PHONY: deps need-deps
deps: ## install the Debian packages that husk is built, run and tested with (root)
	@missing=$$(for p in $(DEPS_BUILD) $(DEPS_GUEST) $(DEPS_RUN) $(DEPS_TEST) $(DEPS_LINT) $(DEPS_MORE); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q '^install ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; fi
	@mkdir -p $(BUILD) && touch $(STAMP)
need-deps:
	@[ -e $(STAMP) ] || $(MAKE) --no-print-directory deps

# --- guest -----------------------------------------------------------------------------------------------------------
GUEST := $(BUILD)/guest
.PHONY: guest guest-debian kernel
kernel: need-deps ## build husk's own small kernel (once a machine: 5 minutes, then from the cache)
	vm/guest/build-kernel $(GUEST)
# The own kernel is used where `make kernel` has put one into the cache, else Debian's.
guest: need-deps $(BUILD)/bin/husk-agent ## make the guest's kernel and initrd in build/guest
	@if [ -e "$$(vm/guest/build-kernel --print-key)" ]; then \
	  vm/guest/build-kernel $(GUEST) && \
	  vm/guest/make-initrd $(GUEST)/initrd.cpio $(BUILD)/bin/husk-agent; \
	else $(MAKE) --no-print-directory guest-debian; fi
guest-debian: need-deps $(BUILD)/bin/husk-agent ## the same with the kernel of Debian's cloud package
	@vm/guest/fetch-debian-kernel $(GUEST)
	@vm/guest/make-initrd $(GUEST)/initrd-debian.cpio $(BUILD)/bin/husk-agent $(GUEST)/modules

# --- tests -----------------------------------------------------------------------------------------------------------
# One program per room, so that a change rebuilds and runs little.
UNIT_ROOMS := $(notdir $(patsubst %/,%,$(dir $(wildcard tests/*/*_test.cc))))
UNIT_ROOMS := $(sort $(UNIT_ROOMS))
UNIT := $(UNIT_ROOMS:%=$(BUILD)/tests/%_test)
base_TEST_LIBS := base
spec_TEST_LIBS := spec base
linux_TEST_LIBS := linux spec base
init_TEST_LIBS := init linux spec base
container_TEST_LIBS := container spec base
host_TEST_LIBS := host init container linux spec base
vm_TEST_LIBS := sandbox client wire vm container linux spec base
agent_TEST_LIBS := server client guest wire init linux spec base
# Single files of the rooms that are not otherwise needed: a fuzzer is slow to build.
fuzz_TEST_LIBS := server client guest wire init linux spec base
fuzz_TEST_OBJS := $(patsubst %,$(BUILD)/obj/%.o,cmd/husk/exec_process cmd/husk/flags vm/qemu/qmp vm/sandbox/control)
TEST_EXT = $(NL_LIBS) -lseccomp -lcap -lgtest -lgtest_main -lpthread
linux_TEST_EXT = -lsystemd
agent_TEST_EXT = -lprotobuf-lite
vm_TEST_EXT = $(agent_TEST_EXT)
fuzz_TEST_EXT = $(agent_TEST_EXT)

define unit_rule
$(BUILD)/tests/$(1)_test: $(call room,tests/$(1)) $($(1)_TEST_OBJS) $(call libs,$($(1)_TEST_LIBS))
	@mkdir -p $$(@D)
	@echo "  LD  $$@"
	@$$(CXX) $$(CXXFLAGS) $$(LDFLAGS) $(call room,tests/$(1)) $($(1)_TEST_OBJS) -Wl,--start-group $(call libs,$($(1)_TEST_LIBS)) -Wl,--end-group $$($(1)_TEST_EXT) $$(TEST_EXT) -o $$@
endef
$(foreach r,$(UNIT_ROOMS),$(eval $(call unit_rule,$(r))))

# The same targets with libFuzzer for a main. Its words are the members and names that the decoder knows.
FUZZ_OBJS = $(filter-out %_test.o,$(call room,tests/fuzz)) $(fuzz_TEST_OBJS)
$(BUILD)/tests/fuzzer: $(FUZZ_OBJS) $(call libs,$(fuzz_TEST_LIBS))
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(CXX) $(CXXFLAGS) $(LDFLAGS) -fsanitize=fuzzer $(FUZZ_OBJS) -Wl,--start-group $(call libs,$(fuzz_TEST_LIBS)) -Wl,--end-group $(fuzz_TEST_EXT) $(NL_LIBS) -lseccomp -lcap -lpthread -o $@
$(BUILD)/tests/fuzz.dict: spec/names.h $(wildcard spec/fields_*.h) spec/options.cc libcontainer/linux/mount_options.cc
	@mkdir -p $(@D)
	@grep -oh '"[A-Za-z0-9_]\+"' $^ | sort -u > $@

TOOLS := $(patsubst integration/tools/%.cc,$(BUILD)/tools/%,$(wildcard integration/tools/*.cc)) $(BUILD)/tools/cri
$(BUILD)/tools/%: integration/tools/%.cc $(wildcard integration/tools/*.h)
	@mkdir -p $(@D)
	$(CXX) -std=c++20 -O2 -Wall -Wextra -Werror -static $< -o $@
# The client of containerd's CRI plugin: its messages are known by name at run time, so it needs protobuf's descriptors.
$(BUILD)/tools/cri: integration/tools/cri/cri.cc integration/tools/cri/cri.proto
	@mkdir -p $(@D) $(BUILD)/gen/cri
	protoc -Iintegration/tools/cri --cpp_out=$(BUILD)/gen/cri cri.proto
	$(CXX) -std=c++20 -O1 -Wall -Wextra -Werror $< $(BUILD)/gen/cri/cri.pb.cc $$(pkg-config --libs grpc++_unsecure protobuf) -o $@

.PHONY: check check-plain check-sanitized check-tsan check-unit check-integration check-integration-host check-kvm check-includes fuzz fuzz-run demo bench bench-plot soak
# Built on all CPUs, run one after the other.
JOBS ?= $(shell nproc)
check: $(if $(SAN),check-sanitized,check-plain) ## unit tests, then integration tests on real QEMU, Docker and Podman (root); SAN=1: see tests/README.md
check-plain: need-deps
	@$(MAKE) --no-print-directory -j$(JOBS) all $(UNIT) $(TOOLS)
	@$(MAKE) --no-print-directory kernel
	@$(MAKE) --no-print-directory guest guest-debian
	@$(MAKE) --no-print-directory check-includes
	@$(MAKE) --no-print-directory check-unit
	@$(MAKE) --no-print-directory check-integration
	@$(MAKE) --no-print-directory check-integration-host
	@tests/summary $(BUILD)
# With sanitizers: what needs no guest, whose agent is static and so has none. Another kernel's address randomisation than
# gcc 12 knew confuses TSan, hence setarch.
RUN_SANITIZED := UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1 \
  TSAN_OPTIONS=history_size=4 setarch -R
check-sanitized: need-deps
	@$(MAKE) --no-print-directory -j$(JOBS) all $(UNIT) $(TOOLS)
	@$(MAKE) --no-print-directory kernel SAN= # the VM's own tests boot one
	@$(RUN_SANITIZED) $(MAKE) --no-print-directory check-unit
	@$(if $(filter thread,$(SAN)),,$(RUN_SANITIZED) $(MAKE) --no-print-directory check-integration-host)
	@tests/summary $(BUILD)
check-tsan: ## unit tests of what has threads, with TSan (root)
	@$(MAKE) --no-print-directory check SAN=thread UNIT_ROOMS="agent container vm"
fuzz: ## libFuzzer at each target of tests/fuzz: FUZZ_SECONDS=60, FUZZ="config agent", KEEP=1
	@$(MAKE) --no-print-directory deps DEPS_MORE="$(DEPS_FUZZ)"
	@$(MAKE) --no-print-directory fuzz-run SAN=fuzz CXX="$(filter ccache,$(CXX)) clang++"
FUZZ_SECONDS ?= 60
fuzz-run: $(BUILD)/tests/fuzzer $(BUILD)/tests/fuzz.dict
	@tests/run-fuzz $(BUILD) $(FUZZ_SECONDS) $(FUZZ)
check-includes:
	@tests/check-includes
check-unit: all $(UNIT)
	@tests/run-unit $(BUILD) $(UNIT_ROOMS)
check-integration: all $(TOOLS)
	@$(MAKE) --no-print-directory kernel && $(MAKE) --no-print-directory guest guest-debian
	@tests/run-integration $(BUILD) $(FILES)
check-integration-host: all $(TOOLS) # the command line's tests in the lane without a VM
	@HUSK_FLAGS=--vm=none RESULT=integration-host tests/run-integration $(BUILD) $(or $(FILES),cli.bats flags.bats inside.bats stdio.bats bad.bats config.bats commands.bats paths.bats)
check-kvm: all $(TOOLS) ## the command line's tests with KVM, in a guest for which QEMU emulates SVM (root, 8 minutes): FILES="-f REGEX cli.bats"
	@$(MAKE) --no-print-directory kernel && $(MAKE) --no-print-directory guest guest-debian
	@BUILD=$(abspath $(BUILD)) integration/kvm/run $(FILES)
demo: need-deps ## the main job: real containers through husk, Podman and Docker, each on its own kernel (root)
	@$(MAKE) --no-print-directory -j$(JOBS) all $(TOOLS)
	@$(MAKE) --no-print-directory kernel && $(MAKE) --no-print-directory guest
	BUILD=$(abspath $(BUILD)) integration/demo
bench: all $(TOOLS) ## figures beside runc's and a bare QEMU's (root): ROWS="start phases pool pod parallel memory console network files"
	@$(MAKE) --no-print-directory kernel && $(MAKE) --no-print-directory guest
	@BUILD=$(abspath $(BUILD)) integration/bench $(ROWS)
bench-plot: ## the rows of BUILD/bench.json that have a target, as integration/bench.svg
	@$(MAKE) --no-print-directory deps DEPS_MORE=gnuplot-nox >/dev/null
	@integration/bench-plot $(BUILD)/bench.json integration/bench.svg
soak: all ## SOAK=300 `docker run --rm` in a row, 16 at once; what they leave is counted (root)
	@$(MAKE) --no-print-directory kernel && $(MAKE) --no-print-directory guest
	BUILD=$(abspath $(BUILD)) integration/soak

# --- style -----------------------------------------------------------------------------------------------------------
SOURCES = $(shell git ls-files '*.cc' '*.h')
.PHONY: lint format
lint: need-deps $(GEN) ## clang-format and clang-tidy, no change
	clang-format --dry-run --Werror $(SOURCES)
	printf '%s\n' $(filter %.cc,$(SOURCES)) | xargs -P 2 -n 8 sh -c 'clang-tidy --quiet "$$@" -- -std=c++20 $(CPPFLAGS)' _
format: ## clang-format in place
	clang-format -i $(SOURCES)

# --- install ---------------------------------------------------------------------------------------------------------
LIBEXEC = $(DESTDIR)$(PREFIX)/libexec/husk
.PHONY: install
install: all guest ## into $(DESTDIR)$(PREFIX): bin/husk, libexec/husk (its helpers and the guest), man pages
	install -d $(DESTDIR)$(PREFIX)/bin $(LIBEXEC)/guest $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 755 -s $(filter-out %/husk-agent,$(BIN)) $(LIBEXEC)
	ln -sf ../libexec/husk/husk $(DESTDIR)$(PREFIX)/bin/husk
	install -m 644 $(wildcard $(GUEST)/vmlinux $(GUEST)/vmlinux-debian $(GUEST)/*.cpio) $(LIBEXEC)/guest
	install -m 644 man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 $(BUILD)/man/husk.toml.5 $(DESTDIR)$(PREFIX)/share/man/man5

.PHONY: help clean
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile
clean: ## remove the build folder
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
