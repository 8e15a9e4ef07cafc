# Scenario: the object compiled with AVX2 is linked next to others.
# Guarantees: it defines no weak function (an inline one, a template's), which the linker could choose over a copy meant for every CPU.
string(REPLACE "|" ";" objects "${OBJECTS}")
list(FILTER objects INCLUDE REGEX "visitor_avx2")
list(LENGTH objects count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "expected one AVX2 object, found: ${objects}")
endif()
execute_process(COMMAND ${NM} --defined-only -C ${objects} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
if(NOT symbols MATCHES "kAvx2")
  message(FATAL_ERROR "not the visitor's object:\n${symbols}")
endif()
string(REGEX MATCHALL "[^\n]* W [^\n]*" shared "${symbols}")
# What sanitizers and coverage add by themselves is theirs.
list(FILTER shared EXCLUDE REGEX "asan|ubsan|__sanitizer|__sancov|DW\\.ref|__covrec|sancov")
if(shared)
  message(FATAL_ERROR "the AVX2 object defines mergeable symbols:\n${shared}")
endif()
