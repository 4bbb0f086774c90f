#include <sys/prctl.h>

#include <cstdio>
#include <cstring>
#include <exception>

#include "libcontainer/init/birth.h"
#include "libcontainer/init/init_process.h"

namespace husk {

int init_main(int argc, char** argv) {
  if (argc != 2 || strcmp(argv[1], kInitVerb) != 0) {
    fputs("husk-init is started by husk's agent, never by hand\n", stderr);
    return 2;
  }
  // Nobody in a container may look into us through /proc while we are half in it.
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_NAME, "husk-init");
  InitRequest request;
  try {
    if (!receive_request(request)) return 1;
    if (request.is_birth) return birth_stage1(request);
    return request.is_exec ? exec_stage1(request) : create_stage1(request);
  } catch (const Error& e) {
    send_error(request, e);
  } catch (const std::exception& e) {
    send_error(request, Error(ErrorKind::kInvalid, std::string("bad request: ") + e.what()));
  }
  return 1;
}

}  // namespace husk
