// What differs between the programs of a test: those for this machine's devices, and those for the emulator of CUDA.
// Each kind links its own definitions, so that a test is compiled once.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace cuvae::test {

/// Whether the backend "cuda" is the emulator, where a row costs a thousand times as much.
bool emulated();

/// The backends on which every op is tested.
std::vector<std::string> backends_under_test();

/// On the emulator, reads of these bytes are reported until they are written.
void forget(void* memory, std::size_t bytes);

}  // namespace cuvae::test
