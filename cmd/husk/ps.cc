#include <ctime>

#include "cmd/husk/commands.h"
#include "cmd/husk/guest_ps.h"
#include "cmd/husk/json_text.h"
#include "cmd/husk/ps_program.h"
#include "cmd/husk/table.h"

namespace husk::cmd {
namespace {

// Behind the id -f is an option of ps(1)'s, but with a format that ps(1) does not know.
bool has_own_flag(const Args& words) {
  if (words.size() < 2 || words.size() > 3) return false;
  if (!words[1].starts_with("-f") && !words[1].starts_with("--format")) return false;
  return words.back().ends_with("json") || words.back().ends_with("table");
}

}  // namespace

int ps(Context& context, const Args& args) {
  std::string format = "table";
  Flags flags("husk ps [options] ID [ps options]",
              "List the processes in a container: as its own kernel numbers them (table), or this host's "
              "pids (json). ps options: as of ps(1), which is run where there is no VM; by default -ef.");
  flags.text("-f,--format", format, "table or json").stop_at_first_word();
  Args words = flags.parse(args);
  if (has_own_flag(words)) {
    const std::string id = words[0];
    words = flags.parse(Args(words.begin() + 1, words.end()));
    words.insert(words.begin(), id);
  }
  check_words("ps", words, 1, SIZE_MAX);
  const bool json = wants_json(format);
  Container container = context.load(words[0]);
  if (json) {
    print(json_text(nlohmann::json(container.host_pids()), -1) + "\n");
    return 0;
  }
  Args options(words.begin() + 1, words.end());
  if (options.empty()) options = {"-ef"};
  if (context.backend_of(words[0]).on_this_kernel()) {
    if (const auto output = run_ps(options, container.host_pids())) {
      print(*output);
      return 0;
    }
  }
  print(guest_ps(options, container.processes(), time(nullptr)));
  return 0;
}

}  // namespace husk::cmd
