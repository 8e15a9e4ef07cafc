#include "correlate/window/table_memory.h"

#include <sys/mman.h>

#include <new>

namespace braid::correlate {

void* MapZeroed(size_t bytes) {
  void* data =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  // Tables are read at random: with small pages nearly every look is a TLB miss. Refused where the system has
  // none.
  ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

void Unmap(void* data, size_t bytes) { ::munmap(data, bytes); }

}  // namespace braid::correlate
