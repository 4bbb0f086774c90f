// The session of a create or an exec: one process, from its making to its end, and its streams.
#pragma once

#include <mutex>

#include "agent.pb.h"
#include "agent/guest/guest.h"
#include "agent/guest/stdio_session.h"
#include "agent/wire/frames.h"

namespace husk {

class ProcessSession {
 public:
  ProcessSession(wire::FrameLink& link, uint32_t session) : link_(link), session_(session) {}

  // Returns when all has been said. Throws what stood in the way of the process.
  void run(guest::Guest& guest, agent::Request request);
  // What the host says meanwhile; in another thread. Never waits.
  void hear(wire::Frame frame);

 private:
  // What the host says is for this one, as long as it lives.
  struct Attendance {
    Attendance(ProcessSession& s, guest::StdioSession& stdio) : session(s) { session.attend(&stdio); }
    ~Attendance() { session.attend(nullptr); }
    ProcessSession& session;
  };
  bool given_up();
  void attend(guest::StdioSession* stdio);
  bool splice(guest::StdioSession& stdio, const guest::Output& output);
  void obey(guest::StdioSession& stdio, wire::Frame& frame);
  bool say(guest::Output output);

  wire::FrameLink& link_;
  const uint32_t session_;

  std::mutex mutex_;  // of what follows
  guest::StdioSession* stdio_ = nullptr;
  bool ended_ = false;  // by the host, before there was a process
};

}  // namespace husk
