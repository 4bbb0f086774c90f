#include <unistd.h>

#include "cmd/husk/commands.h"
#include "cmd/husk/json_text.h"
#include "cmd/husk/table.h"
#include "vm/sizing/sizing.h"
#include "vm/template/template_store.h"

namespace husk::cmd {
namespace {

constexpr const char* kUsage = "create, status or destroy";

void create(const spec::Options& options, const vm::TemplateStore& templates, const vm::Size& size) {
  const vm::MachineConfig machine = vm::machine_for(options, size);
  if (!templates.make(machine, options.virtiofsd, true))
    throw Error(ErrorKind::kUnsupported, "template_cap = 0 in husk.toml: no templates are made");
  print(vm::TemplateStore::key(machine) + "\n");
}

std::string mib(uint64_t bytes) {
  return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB";
}

void status(const vm::TemplateStore& templates, bool json) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  std::vector<Row> rows = {{"TEMPLATE", "SIZE", "MACHINE"}};
  for (const vm::TemplateInfo& info : templates.list()) {
    array.push_back({{"template", info.key}, {"bytes", info.bytes}, {"machine", info.machine}});
    rows.push_back({info.key, mib(info.bytes), info.machine});
  }
  print(json ? json_text(array, -1) + "\n" : table_text(rows, 12, 3));
}

}  // namespace

int template_command(Context& context, const Args& args) {
  std::string format = "table";
  uint32_t vcpus = 0, memory = 0;
  Flags flags("husk template create|status|destroy [options]",
              "The VMs that were booted and saved once, and that containers start from.");
  flags.text("-f,--format", format, "of status: table or json")
      .number("--vcpus", vcpus, "of create: virtual CPUs (default: as husk.toml says)")
      .number("--memory", memory, "of create: MiB (default: as husk.toml says)");
  const Args words = flags.parse(args);
  check_words("template", words, 1, 1);
  const spec::Options options = load_options(context.globals());
  const vm::TemplateStore templates(options.template_folder, options.template_cap);
  if (words[0] == "create")
    create(options, templates, {vcpus ? vcpus : options.vcpus, memory ? memory : options.memory});
  else if (words[0] == "status")
    status(templates, wants_json(format));
  else if (words[0] == "destroy")
    templates.destroy();
  else
    throw Error(ErrorKind::kInvalid,
                "template: expected " + std::string(kUsage) + ", got \"" + printable(words[0], 64) + "\"");
  return 0;
}

}  // namespace husk::cmd
