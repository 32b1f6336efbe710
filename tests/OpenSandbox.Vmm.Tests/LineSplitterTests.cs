using System.Text;

namespace OpenSandbox.Vmm.Tests;

public sealed class LineSplitterTests
{
    [Fact]
    public void Add_AnySplitIntoPieces_GivesTheSameLines()
    {
        byte[] text = Encoding.UTF8.GetBytes("one\n\ntwo longer\nthree\nunfinished");
        for (int size = 1; size <= text.Length; size++)
        {
            var lines = new List<string>();
            var splitter = new LineSplitter(64);
            foreach (byte[] piece in text.Chunk(size))
            {
                splitter.Add(piece, line => lines.Add(Encoding.UTF8.GetString(line)));
            }

            Assert.Equal(["one", "", "two longer", "three"], lines);
        }
    }

    [Fact]
    public void Add_LineTooLong_IsRefusedBeforeItIsKept()
    {
        var splitter = new LineSplitter(8);
        splitter.Add("12345678"u8, static _ => { });

        Assert.Throws<InvalidDataException>(() => splitter.Add("9"u8, static _ => { }));
    }
}
