export async function setUp() {}
