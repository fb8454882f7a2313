# Completion of this project's commands in bash, written by `make docs`. In the project's folder:
#
#   source docs/completion.bash
#
_shtab_python_subparsers=(search.run datasets.prepare trainables.final trainables.predict trainables.export results.final results.export results.report results.compare results.importance search.simulate)

_shtab_python_search_run_option_strings=(-h --help --list --dry-run --config --resume --space --dataset --source --data --weights --seed --objectives --set --warm-start --name --out --trials --epochs --time-budget --gpu-hours --finalists --repeats --grace --reduction-factor --max-gap --gap-patience --plateau-patience --stall-timeout --concurrency --gpus-per-trial --precision --address --data-uri --storage --verbose --quiet --dashboard-host --dashboard-port --tensorboard --mlflow --wandb)
_shtab_python_datasets_prepare_option_strings=(-h --help --source --data --workers --size --skip-broken --overwrite --verify)
_shtab_python_trainables_final_option_strings=(-h --help --config --data --source --out --epochs --weights --seed --repeats --threads --overwrite)
_shtab_python_trainables_predict_option_strings=(-h --help)
_shtab_python_trainables_export_option_strings=(-h --help --formats --to)
_shtab_python_results_final_option_strings=(-h --help)
_shtab_python_results_export_option_strings=(-h --help --trial --to)
_shtab_python_results_report_option_strings=(-h --help --to)
_shtab_python_results_compare_option_strings=(-h --help --to)
_shtab_python_results_importance_option_strings=(-h --help)
_shtab_python_search_simulate_option_strings=(-h --help --policy --workers --budget --seeds --grace --reduction-factor --max-gap --gap-patience --plateau-patience)
_shtab_python_option_strings=(-m)

_shtab_python_search_run___config_COMPGEN=_shtab_compgen_files
_shtab_python_search_run___resume_COMPGEN=_names_of_runs
_shtab_python_search_run___space_COMPGEN=_spaces_and_files
_shtab_python_search_run___source_COMPGEN=_shtab_compgen_files
_shtab_python_search_run___data_COMPGEN=_shtab_compgen_files
_shtab_python_search_run___weights_COMPGEN=_shtab_compgen_files
_shtab_python_search_run___warm_start_COMPGEN=_shtab_compgen_dirs
_shtab_python_search_run___out_COMPGEN=_shtab_compgen_files
_shtab_python_datasets_prepare___source_COMPGEN=_shtab_compgen_files
_shtab_python_datasets_prepare___data_COMPGEN=_shtab_compgen_files
_shtab_python_trainables_final___config_COMPGEN=_shtab_compgen_files
_shtab_python_trainables_final___data_COMPGEN=_shtab_compgen_files
_shtab_python_trainables_final___source_COMPGEN=_shtab_compgen_files
_shtab_python_trainables_final___out_COMPGEN=_shtab_compgen_files
_shtab_python_trainables_final___weights_COMPGEN=_shtab_compgen_files
_shtab_python_trainables_export___to_COMPGEN=_shtab_compgen_files
_shtab_python_results_export_pos_0_COMPGEN=_shtab_compgen_dirs
_shtab_python_results_export___to_COMPGEN=_shtab_compgen_files
_shtab_python_results_report_pos_0_COMPGEN=_shtab_compgen_dirs
_shtab_python_results_report___to_COMPGEN=_shtab_compgen_files
_shtab_python_results_compare_pos_0_COMPGEN=_shtab_compgen_dirs
_shtab_python_results_compare___to_COMPGEN=_shtab_compgen_files
_shtab_python_results_importance_pos_0_COMPGEN=_shtab_compgen_dirs
_shtab_python_search_simulate_pos_0_COMPGEN=_shtab_compgen_files

_shtab_python_search_run___dataset_choices=(cifar100 demo folder tiny-imagenet tiny-imagenet-20)
_shtab_python_datasets_prepare_pos_0_choices=(cifar100 demo folder tiny-imagenet tiny-imagenet-20)
_shtab_python_trainables_export___formats_choices=(safetensors pt2 onnx)
_shtab_python_search_simulate___policy_choices=(ours random)
_shtab_python_pos_0_choices=(search.run datasets.prepare trainables.final trainables.predict trainables.export results.final results.export results.report results.compare results.importance search.simulate)

_shtab_python_search_run__h_nargs=0
_shtab_python_search_run___help_nargs=0
_shtab_python_search_run___list_nargs=0
_shtab_python_search_run___dry_run_nargs=0
_shtab_python_search_run___set_nargs=+
_shtab_python_search_run___warm_start_nargs=+
_shtab_python_search_run___verbose_nargs=0
_shtab_python_search_run___quiet_nargs=0
_shtab_python_search_run___tensorboard_nargs=0
_shtab_python_datasets_prepare__h_nargs=0
_shtab_python_datasets_prepare___help_nargs=0
_shtab_python_datasets_prepare___skip_broken_nargs=0
_shtab_python_datasets_prepare___overwrite_nargs=0
_shtab_python_datasets_prepare___verify_nargs=0
_shtab_python_trainables_final__h_nargs=0
_shtab_python_trainables_final___help_nargs=0
_shtab_python_trainables_final___overwrite_nargs=0
_shtab_python_trainables_predict_pos_1_nargs=+
_shtab_python_trainables_predict__h_nargs=0
_shtab_python_trainables_predict___help_nargs=0
_shtab_python_trainables_export__h_nargs=0
_shtab_python_trainables_export___help_nargs=0
_shtab_python_trainables_export___formats_nargs=+
_shtab_python_results_final__h_nargs=0
_shtab_python_results_final___help_nargs=0
_shtab_python_results_export__h_nargs=0
_shtab_python_results_export___help_nargs=0
_shtab_python_results_report__h_nargs=0
_shtab_python_results_report___help_nargs=0
_shtab_python_results_compare_pos_0_nargs=+
_shtab_python_results_compare__h_nargs=0
_shtab_python_results_compare___help_nargs=0
_shtab_python_results_importance__h_nargs=0
_shtab_python_results_importance___help_nargs=0
_shtab_python_search_simulate_pos_0_nargs=+
_shtab_python_search_simulate__h_nargs=0
_shtab_python_search_simulate___help_nargs=0
_shtab_python_pos_0_nargs=A...
_shtab_python__m_nargs=0

# Custom Preamble
# What is there when the key is pressed.
_names_of_runs() {
  compgen -W "$(cd runs 2>/dev/null && ls -d -- */ | tr -d /)" -- "$1"
}
_spaces_and_files() {
  compgen -W "$(cd search/spaces && ls -- [a-z]*.py | sed 's/\.py$//')" -- "$1"
  compgen -f -- "$1"
}
# End Custom Preamble

# $1=COMP_WORDS[1]
_shtab_compgen_files() {
  compgen -f -- $1  # files
}

# $1=COMP_WORDS[1]
_shtab_compgen_dirs() {
  compgen -d -- $1  # recurse into subdirs
}

# $1=COMP_WORDS[1]
_shtab_replace_nonword() {
  echo "${1//[^[:word:]]/_}"
}

# set default values (called for the initial parser & any subparsers)
_set_parser_defaults() {
  local subparsers_var="${prefix}_subparsers[@]"
  sub_parsers=${!subparsers_var-}

  local current_option_strings_var="${prefix}_option_strings[@]"
  current_option_strings=${!current_option_strings_var}

  completed_positional_actions=0

  _set_new_action "pos_$completed_positional_actions" true
}

# $1=action identifier
# $2=positional action (bool)
# set all identifiers for an action's parameters
_set_new_action() {
  current_action="${prefix}_$(_shtab_replace_nonword $1)"

  local current_action_compgen_var=${current_action}_COMPGEN
  current_action_compgen="${!current_action_compgen_var-}"

  local current_action_choices_var="${current_action}_choices[@]"
  current_action_choices="${!current_action_choices_var-}"

  local current_action_nargs_var="${current_action}_nargs"
  if [ -n "${!current_action_nargs_var-}" ]; then
    current_action_nargs="${!current_action_nargs_var}"
  else
    current_action_nargs=1
  fi

  current_action_args_start_index=$(( $word_index + 1 - $pos_only ))

  current_action_is_positional=$2
}

# Notes:
# `COMPREPLY`: what will be rendered after completion is triggered
# `completing_word`: currently typed word to generate completions for
# `${!var}`: evaluates the content of `var` and expand its content as a variable
#     hello="world"
#     x="hello"
#     ${!x} -> ${hello} -> "world"
_shtab_python() {
  local completing_word="${COMP_WORDS[COMP_CWORD]}"
  local previous_word="${COMP_WORDS[COMP_CWORD-1]}"
  local completed_positional_actions
  local current_action
  local current_action_args_start_index
  local current_action_choices
  local current_action_compgen
  local current_action_is_positional
  local current_action_nargs
  local current_option_strings
  local sub_parsers
  COMPREPLY=()

  local prefix=_shtab_python
  local word_index=0
  local pos_only=0 # "--" delimiter not encountered yet
  _set_parser_defaults
  word_index=1

  # determine what arguments are appropriate for the current state
  # of the arg parser
  while [ $word_index -ne $COMP_CWORD ]; do
    local this_word="${COMP_WORDS[$word_index]}"

    if [[ $pos_only = 1 || " $this_word " != " -- " ]]; then
      if [[ -n $sub_parsers && " ${sub_parsers[@]} " == *" $this_word "* ]]; then
        # valid subcommand: add it to the prefix & reset the current action
        prefix="${prefix}_$(_shtab_replace_nonword $this_word)"
        _set_parser_defaults
      fi

      if [[ " ${current_option_strings[@]} " == *" $this_word "* ]]; then
        # a new action should be acquired (due to recognised option string or
        # no more input expected from current action);
        # the next positional action can fill in here
        _set_new_action $this_word false
      fi

      if [[ "$current_action_nargs" != "*" ]] && \
         [[ "$current_action_nargs" != "+" ]] && \
         [[ "$current_action_nargs" != "?" ]] && \
         [[ "$current_action_nargs" != *"..." ]] && \
         (( $word_index + 1 - $current_action_args_start_index - $pos_only >= \
            $current_action_nargs )); then
        $current_action_is_positional && let "completed_positional_actions += 1"
        _set_new_action "pos_$completed_positional_actions" true
      fi
    else
      pos_only=1 # "--" delimiter encountered
    fi

    let "word_index+=1"
  done

  # Generate the completions

  COMPREPLY=()
  if [[ $pos_only = 0 && "$completing_word" == -* &&
        ( -z "$current_action_compgen" || "$current_action_is_positional" = true ) ]]; then
    # optional argument started: use option strings
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_option_strings[*]}" -- "$completing_word")
  elif [[ "$previous_word" =~ ^[0-9\&]*[\<\>]\>?$ ]]; then
    # handle redirection operators
    compopt -o filenames 2>/dev/null || : # bash>=4
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$completing_word")
  else
    # use choices & compgen
    local action_compgen_word="$completing_word"
    # handle tab-completing in the middle of a line (#248 <- #116)
    [[ -n "$current_action_compgen" && "$completing_word" == -* ]] && action_compgen_word=""
    [ -n "$current_action_compgen" ] && {
      [[ "$current_action_compgen" =~ _(file|dir|glob|FILE|DIR|GLOB)|File|Dir|Glob ]] &&
        compopt -o filenames 2>/dev/null || : # bash>=4
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
        "$current_action_compgen" "$action_compgen_word")
    }
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_action_choices[*]}" -- "$completing_word")
  fi

  if [[ ${#COMPREPLY[@]} = 0 ]]; then
    # native fallback matches are not necessarily filenames (e.g. variables)
    compopt +o filenames 2>/dev/null || : # bash>=4
  fi

  return 0
}

# Only `python -m …` in this project's folder is ours; anything else completes file names.
_project_python() {
  COMPREPLY=()
  [[ ${COMP_WORDS[1]} == -m && $COMP_CWORD -ge 2 && -f search/run.py ]] && _shtab_python
  return 0
}
complete -o bashdefault -o default -F _project_python python python3
