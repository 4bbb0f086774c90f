// Every wait of husk has a deadline, and every deadline its name here.
#pragma once

#include <chrono>

namespace husk::deadline {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr seconds kIdMapper{10};        // husk: newuidmap(1), newgidmap(1)
inline constexpr seconds kControlConnect{10};  // husk: connect to husk-sandbox's control socket
inline constexpr seconds kSandboxFolders{30};  // husk: another one makes, or joins, a VM
inline constexpr seconds kLeaveSandbox{120};   // husk delete: another one takes its container out of the VM
inline constexpr seconds kControlReply{60};    // husk: the reply of any request but create
inline constexpr seconds kCreateReply{180};    // husk: the reply of create (boot and hooks included)
inline constexpr seconds kShimReady{10};       // husk: husk-shim has set up its session
inline constexpr seconds kQmpGreeting{20};     // husk-sandbox: QEMU's first word
inline constexpr seconds kQmpReply{20};        // husk-sandbox: the reply of a QMP command
inline constexpr seconds kResume{20};          // husk-sandbox: QEMU has read a saved VM and runs it
inline constexpr seconds kUnplug{5};           // husk-sandbox: QEMU has taken out what the guest let go of
inline constexpr seconds kSave{20};            // husk: QEMU has written a VM's state
inline constexpr seconds kTemplateLock{120};   // husk: another one makes the template
inline constexpr seconds kPoolLock{180};       // husk: another one fills the pool
inline constexpr seconds kPoolReply{3};        // husk: a waiting VM's answer (it greets its agent meanwhile)
inline constexpr seconds kPoolRequest{1};      // husk-sandbox, waiting: a connection's request
inline constexpr seconds kTraceLock{5};        // whoever writes the first line of a --trace file
inline constexpr seconds kVirtiofsdReady{10};  // husk-sandbox: virtiofsd accepts QEMU
inline constexpr seconds kGuestBoot{
    90};  // husk-sandbox: from QEMU's start to the agent's hello (TCG on a busy host)
inline constexpr seconds kAgentCall{30};     // husk-sandbox: any call that should be quick
inline constexpr seconds kAgentCreate{60};   // husk-sandbox: a container or an exec, up to its gate
inline constexpr seconds kGoodbye{1};        // husk-sandbox: that it was given up is said
inline constexpr seconds kGuestShutdown{3};  // husk-sandbox: the guest's own sync and power off, then SIGKILL
inline constexpr seconds kProcessEnd{10};    // after SIGKILL, until the pidfd says gone
inline constexpr seconds kInitReady{60};     // agent: husk-init reaches the gate of start
inline constexpr seconds kInitExec{30};      // agent: husk-init's exec after the gate
inline constexpr seconds kDeviceAppears{10};   // agent: a hot-plugged device after a rescan
inline constexpr seconds kDeleteEnd{30};       // husk delete: husk-sandbox's own end
inline constexpr seconds kCgroupRemove{5};     // rmdir of a cgroup whose processes are ending
inline constexpr seconds kSystemdJob{30};      // husk-systemd: a unit is started, changed or stopped
inline constexpr seconds kSystemdAnswer{60};   // husk: the answer of husk-systemd (which also connects)
inline constexpr seconds kControlRequest{10};  // husk-sandbox: a control connection's request
inline constexpr seconds kHostConnect{10};     // husk-sandbox: room in the queue of a socket of the host
inline constexpr seconds kDnsAnswer{15};       // husk-sandbox: Docker's answer to a question
// husk-sandbox: a network namespace has been quiet for so long: what was made there is complete. And at the
// latest.
inline constexpr milliseconds kNetworkSettled{200}, kNetworkSettling{2000};
// husk-sandbox: between two tellings of the time, where the host's clock is not set meanwhile.
inline constexpr seconds kClockFollows{600};
// husk-sandbox: between two tellings of what the host changed in volumes, where somebody in the guest watches
// one of them, and where nobody does.
inline constexpr milliseconds kChangesWatched{100}, kChangesUnwatched{1000};
inline constexpr seconds kMemoryLimit{5};  // husk-sandbox: a memory limit is set back, though more is in use
// husk-sandbox: it has no fds left for a control connection: the next look.
inline constexpr milliseconds kNoFds{100};
// husk: a template that could not be made is not tried again for so long.
inline constexpr seconds kTemplateRetry{300};
// husk-sandbox: a process that was signalled has ended, and nobody has taken any of its output for so long.
inline constexpr seconds kLateOutput{1};

}  // namespace husk::deadline
