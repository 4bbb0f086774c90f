// Prints husk.toml.5 from the table of options.
#include <cstdio>

#include "spec/options.h"

int main() {
  return fputs(husk::spec::options_man_page().c_str(), stdout) < 0;
}
