// husk-init: what a container's process is before it is the user's. See libcontainer/init.
#include "libcontainer/init/init_process.h"

int main(int argc, char** argv) {
  return husk::init_main(argc, argv);
}
