#include "shared_memory.h"

#include <algorithm>
#include <cstring>

#include "problems.h"

namespace ptx {

void SharedMemory::clear() {
  bytes_.assign(kernel_.shared_bytes, 0xff);
  defined_.assign(kernel_.shared_bytes, 0);
  words_.assign(kernel_.shared_bytes / 4 + 1, {});
}

u8* SharedMemory::check(const Access& a, u32 epoch) {
  const bool inside = std::any_of(kernel_.shared.begin(), kernel_.shared.end(), [&](const SharedVariable& v) {
    return a.address >= v.at && a.address + a.bytes <= v.at + v.bytes;
  });
  if (!inside) {
    problem("out of bounds shared " + std::string(a.write ? "write" : "read") + " in " + place(a.kernel, a.in));
    return nullptr;
  }
  const u64 at = a.address - kSharedBase;
  if (a.write)
    std::memset(defined_.data() + at, 1, a.bytes);
  else if (std::memchr(defined_.data() + at, 0, a.bytes) != nullptr)
    problem("uninitialised shared read in " + place(a.kernel, a.in));
  for (u64 w = at / 4; w <= (at + a.bytes - 1) / 4; ++w) check_word(words_[w], a, epoch);
  return bytes_.data() + at;
}

void SharedMemory::check_word(Word& word, const Access& a, u32 epoch) const {
  const auto report = [&](const char* what) { problem(std::string(what) + " in " + place(a.kernel, a.in)); };
  const bool others = word.writer_epoch == epoch && word.writer != a.thread;
  if (a.write) {
    if (others) report("shared race: two threads write between barriers");
    if (word.reader_epoch == epoch && (word.several_readers || word.reader != a.thread))
      report("shared race: a thread writes what another one reads between barriers");
    word.writer_epoch = epoch, word.writer = static_cast<u16>(a.thread);
    return;
  }
  if (others) report("shared race: a thread reads what another one writes between barriers");
  if (word.reader_epoch == epoch)
    word.several_readers |= word.reader != a.thread;
  else
    word.reader_epoch = epoch, word.reader = static_cast<u16>(a.thread), word.several_readers = false;
}

}  // namespace ptx
