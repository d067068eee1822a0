// Declares the page's scripts and styles as text: page.ts imports them, they are not
// modules of the gateway.
declare module "*.js" {
  const text: string;
  export default text;
}
declare module "*.css" {
  const text: string;
  export default text;
}
