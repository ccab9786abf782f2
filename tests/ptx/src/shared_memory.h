// A block's shared memory: the bounds of its variables, initialised bytes, and the users since the last barrier.
#pragma once
#include <vector>

#include "global_memory.h"

namespace ptx {

class SharedMemory {
 public:
  explicit SharedMemory(const Kernel& kernel) : kernel_(kernel) {}
  /// Resets it for a new block.
  void clear();
  /// The bytes of an access, or null if it is out of bounds. Reports mistakes.
  u8* check(const Access& access, u32 epoch);

 private:
  struct Word {
    u32 writer_epoch = 0, reader_epoch = 0;
    u16 writer = 0, reader = 0;
    bool several_readers = false;
  };
  void check_word(Word& word, const Access& access, u32 epoch) const;

  const Kernel& kernel_;
  std::vector<u8> bytes_, defined_;
  std::vector<Word> words_;
};

}  // namespace ptx
