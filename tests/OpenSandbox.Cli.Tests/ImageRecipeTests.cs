using OpenSandbox.Cli.Images;

namespace OpenSandbox.Cli.Tests;

public sealed class ImageRecipeTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;

    public ImageRecipeTests()
    {
        Directory.CreateDirectory(Path.Combine(_root, "images", "a"));
        Directory.CreateDirectory(Path.Combine(_root, "images", "kernel"));
        Write("images/a/packages.txt", "one\n");
        Write("images/a/customize.sh", "exit 0\n");
        Write("images/build.sh", "true\n");
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Theory]
    [InlineData("kernel")]
    [InlineData("nothing")]
    [InlineData("..")]
    [InlineData("../images/a")]
    [InlineData("a/../a")]
    [InlineData("")]
    public void Find_NoRecipe_IsNone(string name) => Assert.Null(ImageRecipe.Find(ImageRecipe.FolderOf(_root), name));

    [Fact]
    public void Names_AreFoldersWithAPackageList() => Assert.Equal(["a"], ImageRecipe.Names(ImageRecipe.FolderOf(_root)));

    [Fact]
    public void FolderOf_NoCheckout_IsNone() => Assert.Null(ImageRecipe.FolderOf(Path.Combine(_root, "images")));

    [Fact]
    public void Digest_SameContents_IsTheSame() => Assert.Equal(Digest(), Digest());

    [Theory]
    [InlineData("images/a/packages.txt")]
    [InlineData("images/a/customize.sh")]
    [InlineData("images/a/another.txt")]
    [InlineData("images/build.sh")]
    public void Digest_AFileChanges_IsAnother(string file)
    {
        string before = Digest();
        Write(file, "changed\n");
        Assert.NotEqual(before, Digest());
    }

    [Fact]
    public void Digest_ExecutabilityChanges_IsAnother()
    {
        string before = Digest();
        File.SetUnixFileMode(Path.Combine(_root, "images/a/customize.sh"), UnixFileMode.UserRead | UnixFileMode.UserExecute);
        Assert.NotEqual(before, Digest());
    }

    private string Digest() => ImageRecipe.Find(ImageRecipe.FolderOf(_root), "a")!.Digest(Path.Combine(_root, "images", "build.sh"));

    private void Write(string path, string text) => File.WriteAllText(Path.Combine(_root, path), text);
}
