#include "cmd/husk/commands.h"
#include "cmd/husk/json_text.h"
#include "cmd/husk/table.h"
#include "libcontainer/base/log.h"

namespace husk::cmd {
namespace {

Row row_of(const nlohmann::ordered_json& state) {
  return {state["id"],      std::to_string(state["pid"].get<pid_t>()),
          state["status"],  state["bundle"],
          state["created"], state["owner"]};
}

// One container that cannot be read must not hide the others; one that is deleted meanwhile is not told of.
std::vector<nlohmann::ordered_json> all_states(Context& context) {
  std::vector<nlohmann::ordered_json> out;
  for (const std::string& id : context.store().ids()) {
    try {
      out.push_back(context.load(id).state());
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kNotFound) spdlog::warn("container {}: {}", id, e.what());
    }
  }
  return out;
}

}  // namespace

int list(Context& context, const Args& args) {
  std::string format = "table";
  bool quiet = false;
  Flags flags("husk list [options]", "List the containers under the root.");
  flags.text("-f,--format", format, "table or json").flag("-q,--quiet", quiet, "ids only");
  check_words("list", flags.parse(args), 0, 0);
  const bool json = wants_json(format);
  std::string out;
  if (quiet) {
    for (const std::string& id : context.store().ids()) out += id + "\n";
  } else if (json) {
    nlohmann::ordered_json array = nlohmann::ordered_json::array();
    for (auto& state : all_states(context)) array.push_back(std::move(state));
    out = json_text(array, -1) + "\n";
  } else {
    std::vector<Row> rows = {{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
    for (const auto& state : all_states(context)) rows.push_back(row_of(state));
    out = table_text(rows, 12, 3);
  }
  print(out);
  return 0;
}

}  // namespace husk::cmd
