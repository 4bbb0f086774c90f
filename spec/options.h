// husk's own options. Each is declared once, in the table of options.cc: name, type, bounds, default, one
// sentence. The configuration file (/etc/husk/husk.toml), the command line's flags, husk.toml.5 and `husk
// features` come from that table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace husk::spec {

// The values, filled with the defaults of the table.
struct Options {
  std::string vm;                  // "qemu" (default), later "none"
  std::string qemu;                // path of qemu-system-x86_64; default /usr/bin/qemu-system-x86_64
  std::string virtiofsd;           // path; default /usr/lib/qemu/virtiofsd
  std::string firmware;            // -bios of QEMU; default "" (QEMU's own for microvm, qboot where it fits)
  std::string kernel;              // vmlinux; default "": husk's own under the guest folder, else Debian's
  std::string initrd;              // default ""
  std::string kernel_params;       // appended to the guest's command line
  std::string accel;               // "auto" (default), "kvm", "tcg"
  std::string machine;             // "q35" (default) or "microvm"
  uint32_t vcpus = 1;              // without a CPU limit; 1..256
  uint32_t max_vcpus = 0;          // 0: the host's CPUs
  uint32_t memory = 512;           // MiB, without a memory limit; 64..1048576
  uint32_t memory_overhead = 96;   // MiB on top of a container's limit, for the guest's kernel and agent
  uint32_t tcg_tb_size = 64;       // MiB of TCG's code cache
  std::string cache;               // virtiofs cache: "auto" (default), "always", "none"
  bool use_template = true;        // "template": start from a saved VM
  std::string template_folder;     // where saved VMs are; default /run/husk/templates
  uint32_t template_cap = 1024;    // MiB of all saved VMs together
  bool inotify = true;             // the guest is told of changes on the host
  std::string host_network;        // "refuse" (default) or "user"
  std::string log_level;           // trace debug info warning (default) error
  bool hypervisor_sandbox = true;  // QEMU's own -sandbox: a seccomp filter around the VMM
};

enum class OptionType { kString, kPath, kEnum, kInteger, kBoolean };

struct OptionInfo {
  const char* name;  // as in husk.toml
  OptionType type;
  const char* default_text;
  std::vector<const char*> values;  // of an enum
  int64_t min, max;                 // of an integer
  const char* unit;                 // "MiB", or ""
  const char* sentence;             // for --help and the man page
};

const std::vector<OptionInfo>& option_table();
Options default_options();

inline constexpr const char* kConfigFile = "/etc/husk/husk.toml";

// Reads a TOML file with CLI11's reader over the defaults. An unknown key or a bad value throws
// Error(kInvalid) that names file, key and the nearest good one. A file that is missing is fine only when
// `required` is false.
Options load_options(const std::string& path, bool required);
// Sets one option from text (a flag's value, an annotation's); throws Error(kInvalid).
void set_option(Options& options, const std::string& name, const std::string& value);
// One option as text: set_option(o, name, get_option(o, name)) changes nothing. Throws as set_option() does.
std::string get_option(const Options& options, const std::string& name);

// husk.toml.5 in man(7) format, made from the table.
std::string options_man_page();
// The table as a commented husk.toml.
std::string options_example();

}  // namespace husk::spec
