//! [`shown_by!`](crate::shown_by): `Debug` for what has parts that can't be shown, that nobody should see, or that are too much.

/// Implements `Debug` for a type by these of its fields, which tell it from others of its kind.
#[macro_export]
macro_rules! shown_by {
    ($type:ty $(, $($field:tt).+)*) => {
        impl ::std::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($type))
                    $(.field(stringify!($($field).+), &self.$($field).+))*
                    .finish_non_exhaustive()
            }
        }
    };
}

crate::shown_by!(crate::secrets::Secrets);
