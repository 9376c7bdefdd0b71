//! Who a viewer is: verified claims of a JSON web token.
//!
//! What it does: nothing yet. What it refuses to do: nothing yet. Who calls it: nobody yet. What stays true: nothing yet.
