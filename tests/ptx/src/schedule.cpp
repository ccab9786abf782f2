// The order of warps and groups: with seed 0 in order, the lowest instruction first; otherwise at random.
#include <algorithm>
#include <limits>

#include "block.h"
#include "problems.h"

namespace ptx {

Block::Block(const Kernel& kernel, Dimensions grid, Dimensions block, const std::vector<u8>& parameters, bool in_order,
             cuemu::Random random)
    : kernel_(kernel),
      grid_(grid),
      block_(block),
      threads_(static_cast<unsigned>(block.count())),
      parameters_(parameters),
      in_order_(in_order),
      random_(random),
      warps_((threads_ + 31) / 32) {}

void Block::fail(const std::string& what, const Instruction& in) {
  problem(what + " in " + place(kernel_, in));
  failed_ = true;
}

bool Block::run(u64 index) {
  shared_.clear();
  order_ = {};
  order_.block = static_cast<u32>(index) + 1;
  order_.fence_epoch.assign(threads_, 0);
  order_.unfenced.assign(threads_, false);
  for (unsigned w = 0; w < warps_.size(); ++w) start(warps_[w], 32 * w, index);
  while (!failed_) {
    if (run_some_warp()) continue;
    if (std::all_of(warps_.begin(), warps_.end(), [](const Warp& w) { return w.groups.empty(); })) return true;
    if (!pass_barrier()) return false;
  }
  return false;
}

void Block::start(Warp& warp, unsigned first_thread, u64 index) {
  const unsigned n = std::min(32u, threads_ - first_thread);
  warp.first_thread = first_thread;
  warp.ended = n == 32 ? 0 : ~((1u << n) - 1);
  warp.groups.assign(1, {0, ~warp.ended, Wait::none});
  warp.registers.assign(static_cast<std::size_t>(kernel_.registers) * 32, ~u64{0});
  const Lanes lanes{warp.registers.data(), 0xffffffffu};
  for (const auto& [r, value] : kernel_.constants) std::fill_n(lanes[r], 32, value);

  const u32 block[] = {static_cast<u32>(index % grid_.x), static_cast<u32>(index / grid_.x % grid_.y),
                       static_cast<u32>(index / grid_.x / grid_.y)};
  const u32 sizes[] = {block_.x, block_.y, block_.z}, blocks[] = {grid_.x, grid_.y, grid_.z};
  for (const auto& [name, r] : kernel_.specials) {
    const auto axis = static_cast<std::size_t>(name.back() - 'x');
    for (u32 i = 0; i < 32; ++i) {
      const u32 t = first_thread + i, thread[] = {t % block_.x, t / block_.x % block_.y, t / block_.x / block_.y};
      lanes[r][i] = name == "%laneid"              ? i
                    : name.starts_with("%tid.")    ? thread[axis]
                    : name.starts_with("%ntid.")   ? sizes[axis]
                    : name.starts_with("%ctaid.")  ? block[axis]
                    : name.starts_with("%nctaid.") ? blocks[axis]
                                                   : (unknown("the register " + name), 0u);
    }
  }
}

bool Block::run_some_warp() {
  const auto can_run = [](const Warp& w) {
    return std::any_of(w.groups.begin(), w.groups.end(), [](const Group& g) { return g.wait == Wait::none; });
  };
  const auto n = static_cast<unsigned>(std::count_if(warps_.begin(), warps_.end(), can_run));
  if (n == 0) return false;
  unsigned skip = in_order_ ? 0 : random_.below(n);
  for (Warp& w : warps_)
    if (can_run(w) && skip-- == 0) {
      run_for_a_while(w);
      return true;
    }
  return false;
}

void Block::run_for_a_while(Warp& warp) {
  constexpr long kForever = std::numeric_limits<long>::max();
  for (long left = in_order_ ? kForever : 1 + random_.below(400); left > 0 && !failed_;) {
    merge(warp);
    std::vector<std::size_t> ready;
    for (std::size_t g = 0; g < warp.groups.size(); ++g)
      if (warp.groups[g].wait == Wait::none) ready.push_back(g);
    if (ready.empty()) return;
    // With the lowest instruction first, groups join soon. Sometimes any other group runs.
    std::size_t next = *std::min_element(ready.begin(), ready.end(),
                                         [&](auto a, auto b) { return warp.groups[a].pc < warp.groups[b].pc; });
    if (!in_order_ && random_.one_in(3)) next = ready[random_.below(static_cast<unsigned>(ready.size()))];
    const long most = in_order_ ? kForever : 1 + random_.below(60);
    step(warp, next, most);
    wake_complete_shuffles(warp);
    left -= most;
  }
}

void Block::merge(Warp& warp) const {
  auto& groups = warp.groups;
  for (std::size_t a = 0; a < groups.size(); ++a)
    for (std::size_t b = a + 1; b < groups.size();) {
      const bool may_meet =
          groups[a].wait == groups[b].wait || groups[a].wait == Wait::shuffle || groups[b].wait == Wait::shuffle;
      if (groups[a].pc != groups[b].pc || !may_meet) {
        ++b;
        continue;
      }
      groups[a].lanes |= groups[b].lanes;
      if (groups[a].wait != Wait::barrier) groups[a].wait = Wait::none;
      groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(b));
    }
}

// Lanes that a shuffle waits for may have ended.
void Block::wake_complete_shuffles(Warp& warp) const {
  const Lanes lanes{warp.registers.data(), 0};
  for (Group& g : warp.groups)
    if (g.wait == Wait::shuffle) {
      const u32 members = static_cast<u32>(lanes[at(g.pc).of[3]][std::countr_zero(g.lanes)]);
      if ((members & ~warp.ended & ~g.lanes) == 0) g.wait = Wait::none;
    }
}

// All groups wait. They must be at one barrier, or the kernel is wrong.
bool Block::pass_barrier() {
  int barrier = -1;
  bool ended = false;
  for (const Warp& w : warps_) {
    ended |= w.ended != 0 && w.first_thread + 32 <= threads_;
    for (const Group& g : w.groups) {
      if (g.wait == Wait::shuffle) fail("lanes wait in a shuffle for others that wait elsewhere", at(g.pc));
      if (g.wait == Wait::barrier && barrier >= 0 && g.pc != barrier)
        fail("divergent barrier, with line " + std::to_string(at(barrier).line), at(g.pc));
      if (g.wait == Wait::barrier) barrier = g.pc;
    }
  }
  if (failed_) return false;
  if (ended) problem("barrier with ended threads in " + place(kernel_, at(barrier)));
  ++order_.epoch;
  for (Warp& w : warps_)
    for (Group& g : w.groups) g.wait = Wait::none, ++g.pc;
  return true;
}

}  // namespace ptx
