#include "global_memory.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>

#include "cuemu/control.h"
#include "kernel_side.h"
#include "problems.h"

namespace ptx {

// The last users of a word and their launch. Halves and bytes of a word are not distinguished.
struct Word {
  u32 launch = 0;
  u32 writer_block = 0, writer_epoch = 0, reader_block = 0, reader_epoch = 0;
  u16 writer = 0, reader = 0;
  bool written = false, read = false, several_readers = false;
};

struct Region {
  u64 begin, end;
  std::vector<u8> defined;  // for each byte
  std::vector<Word> words;  // allocated at the first use
};

namespace {

constexpr u32 kSeveralBlocks = 0xffffffffu;
u32 launch_number = 0;

std::map<u64, Region>& regions() {
  static std::map<u64, Region> all;  // by their first address
  return all;
}

Region* region_of(u64 address) {
  const auto after = regions().upper_bound(address);
  if (after == regions().begin()) return nullptr;
  Region& region = std::prev(after)->second;
  return address < region.end ? &region : nullptr;
}

void mark(const void* p, std::size_t bytes, bool defined) {
  Region* region = region_of(reinterpret_cast<u64>(p));
  if (region == nullptr) return;  // host memory
  const u64 at = reinterpret_cast<u64>(p) - region->begin;
  std::memset(region->defined.data() + at, defined ? 1 : 0, std::min<u64>(bytes, region->end - region->begin - at));
}

std::string where(u64 address, u32 bytes) {
  if (address < 0x10000) return " at null + " + std::to_string(address);
  const auto after = regions().upper_bound(address);
  if (after == regions().begin()) return " before every allocation";
  const Region& region = std::prev(after)->second;
  return ", " + std::to_string(address + bytes - region.end) + " bytes past the end of an allocation of " +
         std::to_string(region.end - region.begin);
}

// Reports races at one word. `whole`: the access covers the whole word.
void check_word(Word& word, const Access& a, const Order& order, bool whole) {
  const bool may_meet_others = order.ticket_epoch != 0;  // all other blocks have written their results
  const auto report = [&](const char* what) { problem(std::string(what) + " in " + place(a.kernel, a.in)); };
  if (word.launch != launch_number) word = {.launch = launch_number};
  const bool mine = word.writer_block == order.block;
  if (a.write) {
    if (whole && word.written && !mine && !may_meet_others) report("two blocks write the same global word");
    if (whole && word.written && mine && word.writer != a.thread && word.writer_epoch == order.epoch)
      report("race: two threads write a global word between barriers");
    if (whole && word.read && word.reader_block != order.block && !may_meet_others)
      report("a block writes a global word that another block reads");
    if (whole && word.read && word.reader_block == order.block && word.reader_epoch == order.epoch &&
        (word.several_readers || word.reader != a.thread))
      report("race: a thread writes a global word that another one reads between barriers");
    word.written = true;
    word.writer_block = order.block, word.writer_epoch = order.epoch, word.writer = static_cast<u16>(a.thread);
    return;
  }
  if (whole && word.written && !mine) {
    if (!a.in.past_first_cache) report("a block reads through the first-level cache what another block wrote");
    if (!may_meet_others)
      report("a block reads what another block wrote without a ticket");
    else if (order.fence_epoch[a.thread] <= order.ticket_epoch)
      report("a block reads what another block wrote without a fence after the ticket");
  }
  if (whole && word.written && mine && word.writer != a.thread) {
    if (word.writer_epoch == order.epoch)
      report("race: a thread reads a global word that another one writes between barriers");
    if (a.in.read_only) report("ld.nc of what the same launch wrote");
  }
  if (word.read && word.reader_block == order.block && word.reader_epoch == order.epoch) {
    word.several_readers |= word.reader != a.thread;
  } else {
    word.reader_block = word.read && word.reader_block != order.block ? kSeveralBlocks : order.block;
    word.reader_epoch = order.epoch, word.reader = static_cast<u16>(a.thread);
    word.read = true, word.several_readers = false;
  }
}

}  // namespace

void begin_launch() { ++launch_number; }

bool check_global(const Access& a, const Order& order, bool atomic, Region*& last) {
  if (last == nullptr || a.address < last->begin || a.address >= last->end) last = region_of(a.address);
  if (last == nullptr || a.address + a.bytes > last->end) {
    problem("out of bounds " + std::string(a.write ? "write" : "read") + " of " + std::to_string(a.bytes) + " bytes" +
            where(a.address, a.bytes) + " in " + place(a.kernel, a.in));
    return false;
  }
  const u64 at = a.address - last->begin;
  u8* const defined = last->defined.data() + at;
  if (a.write)
    std::memset(defined, 1, a.bytes);
  else if (std::memchr(defined, 0, a.bytes) != nullptr)
    problem("uninitialised global read in " + place(a.kernel, a.in));
  if (atomic) return true;
  if (last->words.empty()) last->words.resize((last->end - last->begin + 3) / 4);
  for (u64 w = at / 4; w <= (at + a.bytes - 1) / 4; ++w) check_word(last->words[w], a, order, a.bytes % 4 == 0);
  return true;
}

}  // namespace ptx

namespace cuemu {

void memory_begins(void* p, std::size_t bytes) {
  const ptx::u64 begin = reinterpret_cast<ptx::u64>(p);
  ptx::regions()[begin] = {begin, begin + bytes, std::vector<ptx::u8>(bytes), {}};
}
void memory_ends(void* p) { ptx::regions().erase(reinterpret_cast<ptx::u64>(p)); }
void memory_written(const void* p, std::size_t bytes) { ptx::mark(p, bytes, true); }
void forget(void* p, std::size_t bytes) { ptx::mark(p, bytes, false); }

}  // namespace cuemu
