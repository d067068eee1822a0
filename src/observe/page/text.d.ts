// The scripts and styles of the page are not modules of the gateway: it knows their text.
declare module "*.js" {
  const text: string;
  export default text;
}
declare module "*.css" {
  const text: string;
  export default text;
}
