// Ranks as threads of one process. If a rank fails, the other ranks stop waiting and throw.
#pragma once
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "cuvae/group.h"

namespace cuvae::test {

class ThreadGroup {
 public:
  explicit ThreadGroup(Index size) : values_(static_cast<std::size_t>(size)) {}

  /// f(group) on each rank; throws the first error of a rank afterwards.
  void run(const std::function<void(Group&)>& f) {
    std::vector<std::thread> threads;
    std::exception_ptr error;
    for (Index r = 0; r < size(); ++r)
      threads.emplace_back([&, r] {
        try {
          Rank rank(*this, r);
          f(rank);
        } catch (...) {
          const std::lock_guard lock(mutex_);
          if (!failed_) error = std::current_exception();
          failed_ = true;
          arrived_.notify_all();
        }
      });
    for (std::thread& t : threads) t.join();
    if (error) std::rethrow_exception(error);
  }

 private:
  class Rank final : public Group {
   public:
    Rank(ThreadGroup& all, Index rank) : all_(all), rank_(rank) {}
    Index rank() const override { return rank_; }
    Index size() const override { return all_.size(); }
    void average(Backend& backend, float* values, Index n) override { average_of(backend, values, n); }
    void average(Backend& backend, double* values, Index n) override { average_of(backend, values, n); }
    std::vector<double> sum(std::vector<double> values) override { return all_.sum(rank_, std::move(values)); }

   private:
    template <class T>
    void average_of(Backend& backend, T* values, Index n) {
      std::vector<T> host(static_cast<std::size_t>(n));
      backend.download(host.data(), values, host.size() * sizeof(T));
      const std::vector<double> sums = all_.sum(rank_, {host.begin(), host.end()});
      for (std::size_t i = 0; i < host.size(); ++i)
        host[i] = static_cast<T>(sums[i] / static_cast<double>(all_.size()));
      backend.upload(values, host.data(), host.size() * sizeof(T));
    }
    ThreadGroup& all_;
    Index rank_;
  };

  Index size() const { return static_cast<Index>(values_.size()); }

  // Sums in the order of the ranks, so that every rank gets the same bits.
  std::vector<double> sum(Index rank, std::vector<double> values) {
    values_[static_cast<std::size_t>(rank)] = std::move(values);
    wait();
    std::vector<double> sums(values_.front().size());
    for (const std::vector<double>& of_rank : values_)
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += of_rank.at(i);
    wait();  // all have read
    return sums;
  }

  void wait() {
    std::unique_lock lock(mutex_);
    const unsigned turn = turn_;
    if (++waiting_ == size()) {
      waiting_ = 0, ++turn_;
      arrived_.notify_all();
    }
    const bool in_time = arrived_.wait_for(lock, std::chrono::minutes(5), [&] { return turn_ != turn || failed_; });
    if (turn_ == turn) throw Error(in_time ? "another rank failed" : "a rank did not come");
  }

  std::vector<std::vector<double>> values_;  // of each rank
  std::mutex mutex_;
  std::condition_variable arrived_;
  Index waiting_ = 0;
  unsigned turn_ = 0;
  bool failed_ = false;
};

}  // namespace cuvae::test
