#include "vm/sandbox/control.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/file.h"

namespace husk::vm {

Json boot_to_json(const BootRequest& r) {
  const MachineConfig& m = r.machine;
  return {{"op", "boot"},
          {"folder", r.folder},
          {"id", r.id},
          {"waits", r.waits},
          {"takes_all", r.takes_all},
          {"machine",
           {{"microvm", m.type == MachineType::kMicrovm},
            {"kvm", m.accel == Accel::kKvm},
            {"vmm", m.vmm},
            {"firmware", m.firmware},
            {"kernel", m.kernel},
            {"initrd", m.initrd},
            {"kernel_params", m.kernel_params},
            {"vcpus", m.vcpus},
            {"memory_mib", m.memory_mib},
            {"tcg_tb_size_mib", m.tcg_tb_size_mib},
            {"hotplug_ports", m.hotplug_ports},
            {"seccomp", m.seccomp},
            {"tsc_khz", m.tsc_khz}}},
          {"template_folder", r.template_folder},
          {"virtiofsd", r.virtiofsd},
          {"virtiofs_cache", r.virtiofs_cache},
          {"log_path", r.log_path},
          {"log_format", r.log_format},
          {"log_level", r.log_level},
          {"trace_path", r.trace_path}};
}

BootRequest boot_from_json(const Json& json) {
  BootRequest r;
  const Json& m = json.at("machine");
  r.folder = json.at("folder");
  r.id = json.at("id");
  r.waits = json.at("waits");
  r.takes_all = json.at("takes_all");
  r.machine.type = m.at("microvm") ? MachineType::kMicrovm : MachineType::kQ35;
  r.machine.accel = m.at("kvm") ? Accel::kKvm : Accel::kTcg;
  r.machine.vmm = m.at("vmm");
  r.machine.firmware = m.at("firmware");
  r.machine.kernel = m.at("kernel");
  r.machine.initrd = m.at("initrd");
  r.machine.kernel_params = m.at("kernel_params");
  r.machine.vcpus = m.at("vcpus");
  r.machine.memory_mib = m.at("memory_mib");
  r.machine.tcg_tb_size_mib = m.at("tcg_tb_size_mib");
  r.machine.hotplug_ports = m.at("hotplug_ports");
  r.machine.seccomp = m.at("seccomp");
  r.machine.tsc_khz = m.at("tsc_khz");
  r.template_folder = json.at("template_folder");
  r.virtiofsd = json.at("virtiofsd");
  r.virtiofs_cache = json.at("virtiofs_cache");
  r.log_path = json.at("log_path");
  r.log_format = json.at("log_format");
  r.log_level = json.at("log_level");
  r.trace_path = json.at("trace_path");
  return r;
}

bool connect_control(const std::string& sandbox_folder, UniqueFd& out) {
  try {
    UniqueFd dir = open_file(sandbox_folder, O_PATH | O_DIRECTORY);
    out = connect_at(dir.get(), kControlSocket, SOCK_SEQPACKET, deadline::kControlConnect);
    return true;
  } catch (Error& e) {
    if (e.errnum() == ENOENT || e.errnum() == ECONNREFUSED) return false;
    if (e.kind() == ErrorKind::kTimeout)
      e.add_context("husk-sandbox in " + sandbox_folder + " does not answer");
    throw;
  }
}

bool exchange(int socket, const Json& body, const std::vector<int>& fds, Message& reply,
              std::chrono::milliseconds timeout) {
  try {
    send_message(socket, body, fds);
  } catch (const Error& e) {
    if (e.errnum() == EPIPE || e.errnum() == ECONNRESET) return false;
    throw;
  }
  return receive_message(socket, reply, timeout);
}

Json request(const std::string& sandbox_folder, const Json& body, const std::vector<int>& fds,
             std::chrono::milliseconds timeout) {
  UniqueFd socket;
  if (!connect_control(sandbox_folder, socket)) throw Error(ErrorKind::kWrongState, "container not running");
  return converse(socket.get(), body, fds, timeout);
}

Json converse(int socket, const Json& body, const std::vector<int>& fds, std::chrono::milliseconds timeout) {
  Message reply;
  const std::string what = body.value("op", "a request");
  try {
    if (!exchange(socket, body, fds, reply, timeout))
      throw Error(ErrorKind::kWrongState, "container not running: its VM ended during " + what);
  } catch (Error& e) {
    if (e.kind() == ErrorKind::kTimeout) e.add_context(what + ": waiting for husk-sandbox and its guest");
    throw;
  }
  throw_if_error(reply.body);
  return std::move(reply.body);
}

}  // namespace husk::vm
