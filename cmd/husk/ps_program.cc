#include "cmd/husk/ps_program.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <sstream>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"

namespace husk::cmd {
namespace {

constexpr const char* kPrograms[] = {"/usr/bin/ps", "/bin/ps"};
constexpr size_t kMostOutput = 16u << 20;

std::vector<std::string> environment() {
  std::vector<std::string> out;
  for (char** entry = environ; *entry; ++entry) out.emplace_back(*entry);
  return out;
}

size_t pid_column(const std::string& title) {
  std::istringstream words(title);
  std::string word;
  for (size_t i = 0; words >> word; ++i)
    if (word == "PID") return i;
  throw Error(ErrorKind::kInvalid, "ps: couldn't find the column PID in what ps printed");
}

bool is_of(const std::string& line, size_t column, const std::vector<pid_t>& pids) {
  std::istringstream words(line);
  std::string word;
  for (size_t i = 0; i <= column; ++i) words >> word;
  const auto pid = static_cast<pid_t>(strtol(word.c_str(), nullptr, 10));
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

}  // namespace

std::string lines_of_processes(const std::string& ps_output, const std::vector<pid_t>& pids) {
  std::istringstream lines(ps_output);
  std::string line;
  std::getline(lines, line);
  const size_t column = pid_column(line);
  std::string out = line + "\n";
  while (std::getline(lines, line))
    if (is_of(line, column, pids)) out += line + "\n";
  return out;
}

std::optional<std::string> run_ps(const Args& options, const std::vector<pid_t>& pids) {
  const auto program = std::find_if(std::begin(kPrograms), std::end(kPrograms),
                                    [](const char* path) { return access(path, X_OK) == 0; });
  if (program == std::end(kPrograms)) return std::nullopt;
  auto [read_end, write_end] = make_pipe();
  SpawnOptions spawn_options;
  spawn_options.argv = {*program};
  spawn_options.argv.insert(spawn_options.argv.end(), options.begin(), options.end());
  spawn_options.env = environment();
  spawn_options.fds = {{write_end.get(), STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  spawn_options.die_with_parent = true;
  Child child = spawn(spawn_options);
  write_end.reset();
  const std::string output = read_all(read_end.get(), kMostOutput, "read what ps prints");
  const ExitStatus end = wait_child(child, deadline::kProcessEnd);
  if (end.shell_code() != 0)
    throw Error(ErrorKind::kInvalid, "ps: exit status " + std::to_string(end.shell_code()));
  return lines_of_processes(output, pids);
}

}  // namespace husk::cmd
