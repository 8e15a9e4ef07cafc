# Language level, warnings, sanitizers, linker and compiler cache, for every target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")

set(BRAID_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread")
option(BRAID_FUZZ "Build the libFuzzer targets (clang only)" OFF)
option(BRAID_WERROR "Warnings are errors" ON)

if(BRAID_SANITIZE)
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")  # Sanitized code is slow enough; one line of debug info each is what reports need.
else()
  set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
endif()

find_program(BRAID_CCACHE ccache)
if(BRAID_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${BRAID_CCACHE})
  # Precompiled headers are cached too; ccache needs to be told that their time stamps do not matter.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${BRAID_CCACHE})
endif()

find_program(BRAID_MOLD mold)
if(BRAID_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Wold-style-cast -Wimplicit-fallthrough -fno-omit-frame-pointer)
if(BRAID_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12's stable_sort() calls what it declares deprecated itself.
  add_compile_options(-Wthread-safety -fpch-instantiate-templates -Wno-deprecated-declarations)
else()
  # GCC 12 reports false positives out of inlined standard containers.
  add_compile_options(-Wno-stringop-overflow -Wno-array-bounds -Wno-maybe-uninitialized -Wno-restrict)
endif()

if(BRAID_SANITIZE)
  add_compile_options(-fsanitize=${BRAID_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BRAID_SANITIZE})
  add_compile_definitions(BRAID_SANITIZED=1)
endif()
if(BRAID_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

include_directories(${CMAKE_SOURCE_DIR})
