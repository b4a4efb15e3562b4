//! `explain`: what a problem that `validate` gives means, an example, and how it is mended.

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
                    .map(|(code, one)| format!("{code:23} {}\n", one.means));
                print(rows.collect::<String>())
            }
        };
    };
    // As it stands in a message: error[missing].
    let code = code.split_once('[').map_or(&**code, |(_, rest)| rest);
    let code = code.trim_end_matches(']');
    let Some(one) = all.get(code) else {
        let codes = || all.keys().map(String::as_str);
        let begins = codes().find(|known| known.starts_with(code));
        let guess = begins.or_else(|| text::nearest(code, codes()));
        let guess = guess.map(text::or_rather);
        return Err(Failure::failed(format!(
            "explain `{code}`: no problem has this code{}; `kubitect explain` lists all",
            guess.unwrap_or_default()
        )));
    };
    match args.output {
        Output::Json => {
            let mut object = json!(one);
            object["formatVersion"] = json!(1);
            object["code"] = json!(code);
            print_json(object)
        }
        Output::Text => print(format!("{code}\n\n{one}\n")),
    }
}
