#include "cmd/husk/commands.h"

#include <unistd.h>

#include "libcontainer/base/file.h"
#include "libcontainer/base/log.h"
#include "spec/codec.h"
#include "spec/size.h"
#include "spec/validate.h"

namespace husk::cmd {
namespace {

struct UpdateFlags {
  std::string resources, cpus, mems, l3_cache, mem_bw;
  std::optional<std::string> memory, reservation, swap, kernel, kernel_tcp;
  std::optional<int64_t> quota, rt_runtime, idle, pids;
  std::optional<uint64_t> period, burst, shares, rt_period, blkio_weight;
};

Args parse(UpdateFlags& f, const Args& args) {
  Flags flags("husk update [options] ID", "Change the resource limits of a container.");
  flags
      .text("-r,--resources", f.resources,
            "JSON file of the resources, - for stdin; other flags are then ignored")
      .optional_unsigned("--blkio-weight", f.blkio_weight, "10 to 1000")
      .optional_unsigned("--cpu-period", f.period, "microseconds")
      .optional_signed("--cpu-quota", f.quota, "microseconds per period")
      .optional_unsigned("--cpu-burst", f.burst, "microseconds above the quota")
      .optional_unsigned("--cpu-share", f.shares, "relative weight")
      .optional_signed("--cpu-idle", f.idle, "1: only what others leave, 0: not so")
      .optional_unsigned("--cpu-rt-period", f.rt_period, "microseconds")
      .optional_signed("--cpu-rt-runtime", f.rt_runtime, "microseconds")
      .text("--cpuset-cpus", f.cpus, "CPUs, 0-3,7")
      .text("--cpuset-mems", f.mems, "memory nodes")
      .optional_text("--memory", f.memory, "bytes, or with a unit as in 50M; -1: no limit")
      .optional_text("--memory-reservation", f.reservation, "bytes")
      .optional_text("--memory-swap", f.swap, "bytes of memory and swap, -1: no limit")
      .optional_text("--kernel-memory", f.kernel, "(obsolete, ignored)")
      .optional_text("--kernel-memory-tcp", f.kernel_tcp, "bytes of TCP buffers (cgroup v1)")
      .optional_signed("--pids-limit", f.pids, "number of processes")
      .text("--l3-cache-schema", f.l3_cache, "(not supported)")
      .text("--mem-bw-schema", f.mem_bw, "(not supported)");
  Args words = flags.parse(args);
  check_words("update", words, 1, 1);
  return words;
}

spec::Resources read_resources(const std::string& path) {
  if (path == "-") return spec::decode_resources(read_all(STDIN_FILENO, kMaxSmallFile, "read stdin"));
  return with_context(path, [&] { return spec::decode_resources(read_file(path)); });
}

std::optional<int64_t> size_of(const char* flag, const std::optional<std::string>& text) {
  if (!text || text->empty()) return std::nullopt;
  return with_context(flag, [&] { return spec::parse_size(*text); });
}

spec::Resources from_flags(const UpdateFlags& f) {
  spec::Resources out;
  if (f.memory || f.reservation || f.swap || f.kernel || f.kernel_tcp) {
    out.memory.emplace();
    out.memory->limit = size_of("--memory", f.memory);
    out.memory->reservation = size_of("--memory-reservation", f.reservation);
    out.memory->swap = size_of("--memory-swap", f.swap);
    out.memory->kernel = size_of("--kernel-memory", f.kernel);
    out.memory->kernel_tcp = size_of("--kernel-memory-tcp", f.kernel_tcp);
  }
  if (f.shares || f.quota || f.period || f.burst || f.idle || f.rt_period || f.rt_runtime ||
      !f.cpus.empty() || !f.mems.empty()) {
    out.cpu.emplace();
    out.cpu->shares = f.shares;
    out.cpu->burst = f.burst;
    out.cpu->idle = f.idle;
    out.cpu->quota = f.quota;
    out.cpu->period = f.period;
    out.cpu->realtime_period = f.rt_period;
    out.cpu->realtime_runtime = f.rt_runtime;
    out.cpu->cpus = f.cpus;
    out.cpu->mems = f.mems;
  }
  out.pids_limit = f.pids;
  if (f.blkio_weight) {
    if (*f.blkio_weight > 1000) throw Error(ErrorKind::kInvalid, "--blkio-weight: at most 1000");
    out.block_io.emplace();
    out.block_io->weight = static_cast<uint16_t>(*f.blkio_weight);
  }
  return out;
}

}  // namespace

int update(Context& context, const Args& args) {
  UpdateFlags f;
  const Args words = parse(f, args);
  Container container = context.load(words[0]);
  if (!f.l3_cache.empty() || !f.mem_bw.empty())
    throw Error(ErrorKind::kUnsupported, context.backend_of(words[0]).on_this_kernel()
                                             ? "update: husk does not set Intel RDT"
                                             : "update: Intel RDT cannot be reached from inside a VM");
  spec::Resources resources = f.resources.empty() ? from_flags(f) : read_resources(f.resources);
  if (resources.pids_limit == 0) resources.pids_limit.reset();  // as runc, and as 0 of the other limits
  spec::validate_resources(resources);
  for (const std::string& warning : spec::resources_warnings(resources, "resources"))
    spdlog::warn("{}", warning);
  container.update(resources);
  return 0;
}

}  // namespace husk::cmd
