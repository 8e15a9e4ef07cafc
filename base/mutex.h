#pragma once

#include <mutex>

// Clang's thread-safety annotations; nothing under GCC.
#if defined(__clang__)
#define BRAID_TSA(x) __attribute__((x))
#else
#define BRAID_TSA(x)
#endif
#define BRAID_GUARDED_BY(x) BRAID_TSA(guarded_by(x))
#define BRAID_REQUIRES(x) BRAID_TSA(requires_capability(x))

namespace braid {

// std::mutex that the thread-safety analysis understands. (absl::Mutex reports false races under TSan.)
class BRAID_TSA(capability("mutex")) Mutex {
 public:
  void lock() BRAID_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() BRAID_TSA(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class BRAID_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) BRAID_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() BRAID_TSA(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace braid
