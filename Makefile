# husk: a runc-compatible OCI runtime that puts every container into a microVM. `make help` lists the targets.
BUILD ?= build
PREFIX ?= /usr/local
CXX ?= g++
SAN ?=

.DEFAULT_GOAL := all
SHELL := /bin/bash

# --- flags -----------------------------------------------------------------------------------------------------------
CPPFLAGS += -I. -I$(BUILD)/gen -DSPDLOG_FMT_EXTERNAL -D_GNU_SOURCE
CXXFLAGS ?= -O2 -g1
CXXFLAGS += -std=c++20 -Wall -Wextra -Werror -fno-plt -ffunction-sections -fdata-sections
LDFLAGS += -Wl,--gc-sections
ifneq ($(SAN),)
CXXFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
STATIC :=
else
# Static programs start in a third of the time of dynamic ones, and the guest has no libraries at all.
STATIC := -static
endif

GRPC_LIBS = $(shell pkg-config --static --libs grpc++_unsecure protobuf)
NL_LIBS = $(shell pkg-config --static --libs libnl-route-3.0)

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
vm_DIRS := vm vm/qemu vm/share vm/net vm/sizing
sandbox_DIRS := vm/sandbox

define room_rule
$(BUILD)/lib/$(1).a: $(call room,$($(1)_DIRS)) $(if $(filter wire,$(1)),$(BUILD)/obj/gen/agent.pb.o $(BUILD)/obj/gen/agent.grpc.pb.o)
	@mkdir -p $$(@D); rm -f $$@; $$(AR) rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rule,$(r))))
libs = $(patsubst %,$(BUILD)/lib/%.a,$(1))

# --- generated code --------------------------------------------------------------------------------------------------
GEN := $(BUILD)/gen/agent.pb.h $(BUILD)/gen/agent.grpc.pb.h
$(BUILD)/gen/agent.pb.cc $(BUILD)/gen/agent.grpc.pb.cc $(GEN) &: agent/proto/agent.proto
	@mkdir -p $(BUILD)/gen
	protoc -Iagent/proto --cpp_out=$(BUILD)/gen --grpc_out=$(BUILD)/gen --plugin=protoc-gen-grpc=$$(command -v grpc_cpp_plugin) $<

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.cc $(GEN)
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/obj/%.o: %.cc
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c $< -o $@
# What includes generated headers needs them before its first compile; later -MMD knows.
$(call room,$(wire_DIRS) $(client_DIRS) $(server_DIRS) $(sandbox_DIRS) cmd/husk-agent cmd/husk-sandbox tests/agent tests/vm): | $(GEN)

# --- programs --------------------------------------------------------------------------------------------------------
PROGRAMS := husk husk-sandbox husk-shim husk-agent husk-init
husk_LIBS := container sandboxclient container linux spec base
BIN := $(addprefix $(BUILD)/bin/,$(PROGRAMS))
