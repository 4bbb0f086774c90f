// The table of husk's options, and setting one. Nothing else lists them: the file, the flags and the pages
// are made from this.
#include "spec/options.h"

#include <algorithm>
#include <charconv>
#include <variant>

#include "libcontainer/base/error.h"
#include "spec/nearest.h"

namespace husk::spec {
namespace {

using Member = std::variant<std::string Options::*, uint32_t Options::*, bool Options::*>;

struct Row {
  OptionInfo info;
  Member member;
};

Row text(const char* name, std::string Options::*member, const char* value, const char* sentence) {
  return {{name, OptionType::kString, value, {}, 0, 0, "", sentence}, member};
}

Row path(const char* name, std::string Options::*member, const char* value, const char* sentence) {
  return {{name, OptionType::kPath, value, {}, 0, 0, "", sentence}, member};
}

Row choice(const char* name, std::string Options::*member, const char* value, std::vector<const char*> values,
           const char* sentence) {
  return {{name, OptionType::kEnum, value, std::move(values), 0, 0, "", sentence}, member};
}

Row number(const char* name, uint32_t Options::*member, const char* value, int64_t min, int64_t max,
           const char* unit, const char* sentence) {
  return {{name, OptionType::kInteger, value, {}, min, max, unit, sentence}, member};
}

Row boolean(const char* name, bool Options::*member, const char* value, const char* sentence) {
  return {{name, OptionType::kBoolean, value, {}, 0, 0, "", sentence}, member};
}

const std::vector<Row>& rows() {
  using O = Options;
  static const std::vector<Row> table = {
      choice("vm", &O::vm, "qemu", {"qemu", "none"},
             "What runs a container: a virtual machine, or (none) the host's own kernel."),
      path("qemu", &O::qemu, "/usr/bin/qemu-system-x86_64", "QEMU's program."),
      path("virtiofsd", &O::virtiofsd, "/usr/lib/qemu/virtiofsd",
           "The program that shares files with the guest."),
      path("firmware", &O::firmware, "", "The guest's firmware; empty for the one that fits the machine."),
      path("kernel", &O::kernel, "", "The guest's kernel; empty for the one installed with husk."),
      path("initrd", &O::initrd, "",
           "The guest's initial file system; empty for the one installed with husk."),
      text("kernel_params", &O::kernel_params, "", "Appended to the command line of the guest's kernel."),
      choice(
          "accel", &O::accel, "auto", {"auto", "kvm", "tcg"},
          "How QEMU runs the guest's code: with KVM, in software, or (auto) with KVM where the host has it."),
      choice("machine", &O::machine, "q35", {"q35", "microvm"}, "QEMU's machine type."),
      number("vcpus", &O::vcpus, "1", 1, 256, "", "Virtual CPUs of a container without a CPU limit."),
      number("max_vcpus", &O::max_vcpus, "0", 0, 256, "",
             "The most virtual CPUs that a machine can grow to; 0 for as many as the host has CPUs."),
      number("memory", &O::memory, "512", 64, 1048576, "MiB",
             "Memory of a container without a memory limit."),
      number("memory_overhead", &O::memory_overhead, "96", 32, 4096, "MiB",
             "Added to a container's memory limit, for the guest's kernel and agent."),
      number("tcg_tb_size", &O::tcg_tb_size, "64", 1, 2048, "MiB",
             "QEMU's cache of translated code, without KVM."),
      choice("cache", &O::cache, "auto", {"auto", "always", "none"},
             "How far the guest may cache the files that the host shares with it."),
      boolean("template", &O::use_template, "true",
              "Whether containers start from a VM that was booted and saved once."),
      path("template_folder", &O::template_folder, "/run/husk/templates",
           "Where saved VMs are kept; it should be on a tmpfs. Who is not root has them below "
           "$XDG_RUNTIME_DIR by default."),
      number("template_cap", &O::template_cap, "1024", 0, 1048576, "MiB",
             "The most that all saved VMs together may occupy; the one used longest ago goes first."),
      boolean("inotify", &O::inotify, "true",
              "Whether programs in a container see by inotify(7) what the host changes in its volumes."),
      choice("host_network", &O::host_network, "refuse", {"refuse", "user"},
             "What a container in the host's network namespace gets: an error, or (user) a network of "
             "QEMU's that translates its connections to the host's addresses."),
      choice("log_level", &O::log_level, "warning", {"trace", "debug", "info", "warning", "error"},
             "The least important messages that are still logged."),
      boolean("hypervisor_sandbox", &O::hypervisor_sandbox, "true",
              "Whether QEMU runs behind its own seccomp filter."),
  };
  return table;
}

[[noreturn]] void fail(const std::string& message) {
  throw Error(ErrorKind::kInvalid, message);
}

std::string quoted(std::string_view text) {
  return '"' + printable(text, 128) + '"';
}

const Row& find_row(const std::string& name) {
  std::vector<std::string_view> names;
  for (const Row& row : rows()) {
    if (name == row.info.name) return row;
    names.push_back(row.info.name);
  }
  fail("unknown option " + quoted(name) + did_you_mean(name, names));
}

std::string parse_text(const OptionInfo& info, const std::string& value) {
  const std::string name = info.name;
  if (value.find_first_of(std::string_view("\0\n", 2)) != std::string::npos)
    fail(name + ": must be one line, got " + quoted(value));
  if (info.type == OptionType::kPath && !value.empty() && value[0] != '/')
    fail(name + ": must be an absolute path, got " + quoted(value));
  // What has a default program cannot do without one.
  if (info.type == OptionType::kPath && value.empty() && *info.default_text)
    fail(name + ": must not be empty");
  const std::vector<std::string_view> values(info.values.begin(), info.values.end());
  if (info.type == OptionType::kEnum && std::find(values.begin(), values.end(), value) == values.end())
    fail(name + ": expected " + either(values) + ", got " + quoted(value) + did_you_mean(value, values));
  return value;
}

uint32_t parse_number(const OptionInfo& info, const std::string& value) {
  const std::string name = info.name;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (value.empty() || end != value.data() + value.size() || error == std::errc::invalid_argument)
    fail(name + ": expected an integer, got " + quoted(value));
  const std::string unit = *info.unit ? std::string(" ") + info.unit : "";
  const bool overflow = error == std::errc::result_out_of_range;
  if (overflow ? value[0] == '-' : number < info.min)
    fail(name + ": " + printable(value, 32) + " is below " + std::to_string(info.min) + unit);
  if (overflow || number > info.max)
    fail(name + ": " + printable(value, 32) + " is above " + std::to_string(info.max) + unit);
  return static_cast<uint32_t>(number);
}

bool parse_boolean(const OptionInfo& info, const std::string& value) {
  if (value == "true") return true;
  if (value == "false") return false;
  fail(std::string(info.name) + ": expected true or false, got " + quoted(value));
}

struct Setter {
  Options& options;
  const OptionInfo& info;
  const std::string& value;
  void operator()(std::string Options::*member) const { options.*member = parse_text(info, value); }
  void operator()(uint32_t Options::*member) const { options.*member = parse_number(info, value); }
  void operator()(bool Options::*member) const { options.*member = parse_boolean(info, value); }
};

struct Getter {
  const Options& options;
  std::string operator()(std::string Options::*member) const { return options.*member; }
  std::string operator()(uint32_t Options::*member) const { return std::to_string(options.*member); }
  std::string operator()(bool Options::*member) const { return options.*member ? "true" : "false"; }
};

void set_row(Options& options, const Row& row, const std::string& value) {
  std::visit(Setter{options, row.info, value}, row.member);
}

}  // namespace

const std::vector<OptionInfo>& option_table() {
  static const std::vector<OptionInfo> table = [] {
    std::vector<OptionInfo> infos;
    for (const Row& row : rows()) infos.push_back(row.info);
    return infos;
  }();
  return table;
}

Options default_options() {
  Options options;
  for (const Row& row : rows()) set_row(options, row, row.info.default_text);
  return options;
}

void set_option(Options& options, const std::string& name, const std::string& value) {
  set_row(options, find_row(name), value);
}

std::string get_option(const Options& options, const std::string& name) {
  return std::visit(Getter{options}, find_row(name).member);
}

}  // namespace husk::spec
