// protobuf's headers include <iostream>, and so libstdc++ would make std::cout, its seven siblings and every
// facet of the classic locale when the agent starts: 700 pieces of code that a guest under TCG translates for
// nothing, since nobody here writes to them. The linker leads to these two instead (--wrap in the Makefile).
// Who uses std::cerr in husk-agent finds it unmade: agent/guest/log.h is there for that.
extern "C" {
void __wrap__ZNSt8ios_base4InitC1Ev(void*) {}
void __wrap__ZNSt8ios_base4InitD1Ev(void*) {}
}
