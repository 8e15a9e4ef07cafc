# One target per folder; its DEPS are the only folders whose headers it may include.
# tests/layering_test.py compares every #include with what is declared here.

# braid_library(NAME base_net SRCS a.cc b.cc DEPS braid::base LIBS PkgConfig::ZSTD)
#   DEPS  our own targets, visible to those who link this one
#   LIBS  third-party targets
function(braid_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;LIBS" ${ARGN})
  if(ARG_SRCS)
    add_library(${ARG_NAME} STATIC ${ARG_SRCS})
    target_link_libraries(${ARG_NAME} PUBLIC ${ARG_DEPS} ${ARG_LIBS} Threads::Threads)
  else()
    add_library(${ARG_NAME} INTERFACE)
    target_link_libraries(${ARG_NAME} INTERFACE ${ARG_DEPS} ${ARG_LIBS} Threads::Threads)
  endif()
  add_library(braid::${ARG_NAME} ALIAS ${ARG_NAME})
endfunction()

function(braid_binary)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;LIBS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} ${ARG_LIBS} Threads::Threads)
endfunction()

# What every test includes, compiled once: GoogleMock costs each file 1.7 s otherwise. Only tests have
# a precompiled header: in the product it would hide a missing #include.
function(braid_test_header)
  if(TARGET test_header)
    return()
  endif()
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/generated/test_header.cc CONTENT "")
  add_library(test_header OBJECT ${CMAKE_BINARY_DIR}/generated/test_header.cc)
  target_link_libraries(test_header PRIVATE GTest::gmock GTest::gtest Threads::Threads)
  target_compile_options(test_header PRIVATE -pthread)
  target_precompile_headers(test_header PRIVATE <gmock/gmock.h> <gtest/gtest.h> <memory> <string> <vector>)
endfunction()

# braid_test(NAME base_test SRCS ... DEPS ... [LABELS unit])
# Registered with CTest as one test per executable, so that a run is quick; use
# --gtest_filter to pick. LABELS default to "unit".
function(braid_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT" "SRCS;DEPS;LIBS;LABELS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} ${ARG_LIBS}
    GTest::gmock GTest::gtest_main Threads::Threads)
  braid_test_header()
  target_precompile_headers(${ARG_NAME} REUSE_FROM test_header)
  target_compile_options(${ARG_NAME} PRIVATE -pthread)  # Some libraries ask for it; the header needs it in all or none.
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  # tests_unit, tests_threaded, ...: what to build in order to run one label.
  foreach(label ${ARG_LABELS})
    if(NOT TARGET tests_${label})
      add_custom_target(tests_${label})
    endif()
    add_dependencies(tests_${label} ${ARG_NAME})
  endforeach()
endfunction()

# braid_fuzz(NAME decode_fuzz SRCS ... DEPS ...): a libFuzzer target, part of `fuzzers`, and a short CTest test
# with label "fuzz" and a fixed seed. Inputs worth keeping go to tests/fuzz/corpus/<NAME>/. Nothing without BRAID_FUZZ.
function(braid_fuzz)
  if(NOT BRAID_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;LIBS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} ${ARG_LIBS} Threads::Threads -fsanitize=fuzzer)
  add_test(NAME ${ARG_NAME}_smoke
    COMMAND ${ARG_NAME} -seed=1 -runs=20000 -max_len=4096 -timeout=10 -rss_limit_mb=2048)
  set_tests_properties(${ARG_NAME}_smoke PROPERTIES LABELS fuzz TIMEOUT 600)
  if(NOT TARGET fuzzers)
    add_custom_target(fuzzers)
  endif()
  add_dependencies(fuzzers ${ARG_NAME})
endfunction()
