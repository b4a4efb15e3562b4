//! `explain`: what a problem that `validate` reports means, with an example, and how to repair it.

use kubitect_config::{explain, text};
use serde_json::json;

use crate::args::{Explain, Output};
use crate::failure::Failure;

use super::{print, print_json};

/// Carries the command out.
pub fn explain(args: &Explain) -> Result<(), Failure> {
    let all = explain::all();
    let Some(code) = &args.code else {
        return match args.output {
            Output::Json => print_json(json!({"formatVersion": 1, "problems": all})),
            Output::Text => {
                let rows = all
                    .iter()
                    .map(|(code, problem)| format!("{code:23} {}\n", problem.means));
                print(rows.collect::<String>())
            }
        };
    };
    // Also in the form of a message: error[missing].
    let code = code.split_once('[').map_or(&**code, |(_, rest)| rest);
    let code = code.trim_end_matches(']');
    let Some(problem) = all.get(code) else {
        let codes = || all.keys().map(String::as_str);
        let prefixed = codes().find(|other| other.starts_with(code));
        let guess = prefixed.or_else(|| text::nearest(code, codes()));
        let guess = guess.map(text::or_rather);
        return Err(Failure::failed(format!(
            "explain `{code}`: no problem has this code{}; `kubitect explain` lists all",
            guess.unwrap_or_default()
        )));
    };
    match args.output {
        Output::Json => {
            let mut object = json!(problem);
            object["formatVersion"] = json!(1);
            object["code"] = json!(code);
            print_json(object)
        }
        Output::Text => print(format!("{code}\n\n{problem}\n")),
    }
}
