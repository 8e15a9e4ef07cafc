# Files of the source tree as constants of the binary.
#
# braid_embed(NAME embedded_files HEADER "dashboards/embedded.h" FUNCTION braid::dashboards::EmbeddedFiles
#             ROOT ${CMAKE_CURRENT_SOURCE_DIR} FILES a.json b/c.yaml)
#   Makes NAME.cc in the build tree and puts its path into the variable NAME, for the SRCS of a library. It defines
#   FUNCTION, declared in HEADER as `std::span<const EmbeddedFile> F();` (base/embedded_file.h).
#   FILES are relative to ROOT; that is also how the binary calls them. A change of one of them builds anew; for
#   files that come and go, glob with CONFIGURE_DEPENDS.
set(BRAID_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/embed.py)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(braid_embed)
  cmake_parse_arguments(ARG "" "NAME;HEADER;FUNCTION;ROOT" "FILES" ${ARGN})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${ARG_NAME}.cc)
  list(SORT ARG_FILES)
  set(paths ${ARG_FILES})
  list(TRANSFORM paths PREPEND ${ARG_ROOT}/)
  add_custom_command(OUTPUT ${output}
    COMMAND Python3::Interpreter ${BRAID_EMBED_SCRIPT} --header ${ARG_HEADER} --function ${ARG_FUNCTION}
      --root ${ARG_ROOT} --out ${output} ${ARG_FILES}
    DEPENDS ${BRAID_EMBED_SCRIPT} ${paths}
    COMMENT "Embedding ${ARG_NAME}" VERBATIM)
  set(${ARG_NAME} ${output} PARENT_SCOPE)
endfunction()
